//! The keeper's own socket, for officers and programs on its machine: a door whose other end the kernel names (unix(7), SO_PEERCRED).
//!
//! The front is not between: what it withholds, delays or answers falsely does not matter here, and no caller of the network can fill what
//! these asks wait in.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::net::sockopt::socket_peercred;

use crate::door::{OtherEnd, Routes};

/// Its user and its group.
const MODE: u32 = 0o660;
/// Connections at a time; one more is closed. Each has two threads.
const CONNECTIONS: usize = 64;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[error("the socket {path}: {source}", path = .path.display())]
pub struct SocketError {
    /// Where it was to be.
    path: PathBuf,
    /// Why not.
    source: io::Error,
}

/// The socket's file, which goes with this.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    inode: u64,
}

/// Makes the socket, in place of one that a former keeper left, and serves it until the process ends.
///
/// The journal's lock is held: no other keeper of this journal listens there.
///
/// # Errors
/// [`SocketError`].
pub(crate) fn serve(path: &Path, routes: Routes) -> Result<Socket, SocketError> {
    let failed = |source| SocketError { path: path.to_owned(), source };
    let listener = bind(path).map_err(failed)?;
    let inode = fs::symlink_metadata(path).map_err(failed)?.ino();
    thread::spawn(move || {
        let open = Arc::new(());
        for stream in listener.incoming() {
            match stream.and_then(|stream| accept(stream, &routes, &open)) {
                Ok(()) => {}
                Err(error) => tracing::warn!(cause = error.to_string(), "a local connection was not taken"),
            }
        }
    });
    Ok(Socket { path: path.to_owned(), inode })
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Another keeper may have put its own in this place.
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // The umask keeps others out until the mode is set.
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(listener)
}

fn accept(stream: UnixStream, routes: &Routes, open: &Arc<()>) -> io::Result<()> {
    if Arc::strong_count(open) > CONNECTIONS {
        return Err(io::Error::other(format!("{CONNECTIONS} are open already")));
    }
    let uid = socket_peercred(&stream)?.uid.as_raw();
    let end = OtherEnd::Local { uid, _place: Arc::clone(open) };
    routes.serve(stream, end).map_err(io::Error::other)
}
