//! What a child left behind: processes that it started and that outlive it, also in a session of their own. They become the supervisor's children
//! (prctl(2), PR_SET_CHILD_SUBREAPER), and are ended with the child: one of the front's would keep its port, or what it writes to.
//!
//! Does not: end what a running child started. The keeper adopts what its module leaves behind, so that a daemon of that is not taken for the
//! front's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

/// How long is spent on it at a time: what starts others faster than they are stopped is for the next time.
const PATIENCE: Duration = Duration::from_secs(1);

/// From here on this process is given the children that its own leave behind.
///
/// # Errors
/// The kernel's.
pub(crate) fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// What became of processes that were left behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Orphans {
    /// How many were ended.
    pub(super) ended: usize,
    /// Whether some are there still that may be ended.
    pub(super) are_left: bool,
    /// How many are there that this user may not end.
    pub(super) out_of_reach: usize,
}

/// Ends every process below this one but these and what is below them. What is there at first is stopped before one is ended: what sees its parent
/// go would start others. From then on what is found is stopped and ended as it is found, since some goes on all the same (SIGCONT by a timer of its
/// own). What may not be ended (EPERM, kill(2)) is said to be out of reach, and is waited for by nobody.
pub(super) fn end_all_but(ours: &[u32]) -> Orphans {
    let deadline = Instant::now() + PATIENCE;
    let (mut found, mut out_of_reach) = (BTreeSet::new(), BTreeSet::new());
    let mut left = below(ours);
    while left.difference(&out_of_reach).next().is_some() && Instant::now() < deadline {
        let is_first = found.is_empty();
        for pid in left.difference(&found) {
            if signal(*pid, Signal::STOP) == Err(Errno::PERM) {
                out_of_reach.insert(*pid);
            }
        }
        // Of those that are there still: the number of one that is not may be another's by now.
        for pid in left.iter().filter(|_| !is_first) {
            let _ = signal(*pid, Signal::KILL);
            // A child of this process; the others come to it as their parents go.
            let _ = pid_of(*pid).map(|pid| waitpid(Some(pid), WaitOptions::NOHANG));
        }
        found.append(&mut left);
        thread::yield_now();
        left = below(ours);
    }
    let are_left = left.difference(&out_of_reach).next().is_some();
    let ended = found.difference(&left).count();
    Orphans { ended, are_left, out_of_reach: left.intersection(&out_of_reach).count() }
}

/// It may have ended of itself (ESRCH).
fn signal(pid: u32, signal: Signal) -> Result<(), Errno> {
    pid_of(pid).map_or(Ok(()), |pid| kill_process(pid, signal))
}

fn pid_of(pid: u32) -> Option<Pid> {
    Pid::from_raw(pid.cast_signed())
}

/// The processes below this one, without these and what is below them; those that ended and were not waited for among them.
fn below(ours: &[u32]) -> BTreeSet<u32> {
    let listed = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (pid, parent) in pids.filter_map(|pid| Some((pid, parent(pid)?))) {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = BTreeSet::new();
    let mut open = vec![std::process::id()];
    while let Some(parent) = open.pop() {
        let here = children.remove(&parent).unwrap_or_default();
        for child in here.into_iter().filter(|child| !ours.contains(child)) {
            found.insert(child);
            open.push(child);
        }
    }
    found
}

/// Field 4 of /proc/PID/stat (proc_pid_stat(5)), behind the name, which may hold anything.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A shell that runs a script with this function, once it has printed a line. The function finds its own text in `DEFINED`.
    fn started(function: &str, script: &str) -> Child {
        let mut child = Command::new("sh")
            .env("DEFINED", function)
            .args(["-c", &format!("{function}; {script}")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        child
    }

    #[test]
    fn what_a_child_left_is_ended_however_it_is_nested() {
        adopt().unwrap();
        let ours: Vec<u32> = below(&[]).into_iter().collect();
        let nest = "nest() { if [ $1 -gt 0 ]; then setsid sh -c \"$DEFINED; nest $(($1 - 1))\" & fi; exec sleep 600; }";
        let mut child = started(nest, "nest 40 & echo started; exec sleep 600");
        let mut with_child = ours.clone();
        with_child.push(child.id());
        assert_eq!(
            end_all_but(&with_child),
            Orphans { ended: 0, are_left: false, out_of_reach: 0 },
            "what it started is its own"
        );
        let mut looks = 0;
        while below(&ours).len() < 42 {
            looks += 1;
            assert!(looks < 100_000, "they are not there: {}", below(&ours).len());
            thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let ended = end_all_but(&ours);
        assert!(ended.ended >= 41 && !ended.are_left, "{ended:?}");
        assert!(below(&ours).is_empty());
    }

    /// It starts the next and ends, for as long as nobody ends it, or twenty thousand times.
    #[test]
    fn what_is_another_process_each_moment_is_ended() {
        adopt().unwrap();
        let ours: Vec<u32> = below(&[]).into_iter().collect();
        let hop = "hop() { if [ $1 -gt 0 ]; then setsid sh -c \"$DEFINED; hop $(($1 - 1))\" & fi; }";
        let mut child = started(hop, "hop 20000; hop 20000; hop 20000; echo started");
        child.wait().unwrap();
        assert!(!below(&ours).is_empty());
        assert!((0..8).any(|_| !end_all_but(&ours).are_left));
        assert!(below(&ours).is_empty());
    }
}
