//! What a child left behind: processes that it started and that outlive it, also in a session of their own. They become the supervisor's children
//! (prctl(2), PR_SET_CHILD_SUBREAPER), and are ended with the child: one of the front's would keep its port, or what it writes to.
//!
//! Does not: end what a running child started. The keeper adopts what its module leaves behind, so that a daemon of that is not taken for the
//! front's.

use std::collections::BTreeSet;
use std::{fs, io};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

/// How often it is looked for more: what is about to be ended may start others, each of which takes a turn.
const TURNS: usize = 64;

/// From here on this process is given the children that its own leave behind.
///
/// # Errors
/// The kernel's.
pub(crate) fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Ends every child of this process but these: how many those were. Nothing is waited for: what is slow to end is seen the next time.
pub(super) fn end_all_but(ours: &[u32]) -> usize {
    let mut ended = BTreeSet::new();
    for _ in 0..TURNS {
        let others: Vec<u32> = children().filter(|pid| !ours.contains(pid) && !ended.contains(pid)).collect();
        if others.is_empty() {
            break;
        }
        for pid in others {
            // Nobody else waits for it: its number is no other process's.
            let _ = pid_of(pid).map(|pid| kill_process(pid, Signal::KILL));
            ended.insert(pid);
        }
    }
    for pid in ended.iter().copied().filter_map(pid_of) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
    ended.len()
}

fn pid_of(pid: u32) -> Option<Pid> {
    Pid::from_raw(pid.cast_signed())
}

/// The children of this process, those that ended and were not waited for among them.
fn children() -> impl Iterator<Item = u32> {
    let own = getpid().as_raw_nonzero().get().to_string();
    let listed = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(move |pid| parent(*pid).as_deref() == Some(own.as_str()))
}

/// Field 4 of /proc/PID/stat (proc_pid_stat(5)), behind the name, which may hold anything.
fn parent(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_child_left_in_a_session_of_its_own_is_ended() {
        adopt().unwrap();
        let mut ours: Vec<u32> = children().collect();
        let mut child = Command::new("sh")
            .args(["-c", "setsid sh -c 'echo $$; exec sleep 600' & exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let left: u32 = said.trim().parse().unwrap();
        ours.push(child.id());
        assert_eq!(end_all_but(&ours), 0, "what it started is its own while it runs");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(parent(left), Some(std::process::id().to_string()), "it outlives it");
        assert_eq!(end_all_but(&ours), 1);
        let gone =
            || fs::read_to_string(format!("/proc/{left}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        let mut looks = 0;
        while gone() {
            looks += 1;
            assert!(looks < 1_000_000, "it is still there");
            std::thread::yield_now();
        }
    }
}
