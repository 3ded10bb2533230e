//! The children's logs: each child writes into a pipe of its own, which the supervisor copies. Whoever has taken one of them can then neither end, nor
//! empty, nor hold up what the others say.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// Octets of a line: a longer one is parted.
const LINE_MAX: u64 = 64 * 1024;
/// How long the end of a log is waited for: whoever still holds the pipe may be anybody.
const PATIENCE: Duration = Duration::from_secs(1);

/// A log that is being copied.
pub(super) struct Copied(oneshot::Receiver<()>);

/// Gives a child a pipe for its log. On a terminal, where a person looks on, it has that itself.
pub(super) fn pipe(command: &mut Command) {
    command.stdout(Stdio::null());
    if !io::stderr().is_terminal() {
        command.stderr(Stdio::piped());
    }
}

/// Copies what it says, until it has ended; nothing where it has no pipe.
///
/// # Errors
/// The pipe cannot be taken.
pub(super) fn copy(child: &mut Child) -> io::Result<Option<Copied>> {
    let Some(log) = child.stderr.take() else { return Ok(None) };
    let log = File::from(log.into_owned_fd()?);
    let (ends, ended) = oneshot::channel();
    std::thread::spawn(move || {
        lines(log);
        // The supervisor may have gone on without it.
        let _ = ends.send(());
    });
    Ok(Some(Copied(ended)))
}

fn lines(log: File) {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut log).take(LINE_MAX).read_until(b'\n', &mut line) {
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        // Where nobody reads, the child is held up, whose log is not.
        let _ = io::stderr().lock().write_all(&line);
        line.clear();
    }
}

impl Copied {
    /// Waits for what was said last.
    pub(super) async fn finish(self) {
        let _ = tokio::time::timeout(PATIENCE, self.0).await;
    }
}
