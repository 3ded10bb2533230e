//! The local socket: the same services for people and tools on this machine, known by their uid.

use std::{
    fs::{self, Metadata, Permissions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    net::{UnixListener, UnixSocket, UnixStream},
    sync::watch,
};

use crate::{
    FrontError,
    connection::App,
    listener::{Listen, accept_all},
    metrics::Limit,
    steps::Caller,
};

/// Its user and its group.
const MODE: u32 = 0o660;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 64;

/// The socket; its file goes with it.
pub(crate) struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: a file that came in its place is not removed.
    file: (u64, u64),
}

impl LocalSocket {
    /// Makes the socket. One that nobody answers on is removed first.
    ///
    /// # Errors
    /// [`FrontError::SocketInUse`], [`FrontError::Socket`].
    pub(crate) async fn bind(path: &Path) -> Result<Self, FrontError> {
        let failed = |source| FrontError::Socket { path: path.to_owned(), source };
        if answers(path).await.map_err(failed)? {
            return Err(FrontError::SocketInUse { path: path.to_owned() });
        }
        Self::make(path).map_err(failed)
    }

    fn make(path: &Path) -> io::Result<Self> {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        // Before listen(2) nobody can connect, so that the mode which the umask gave is never in force.
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        let file = identity(&fs::symlink_metadata(path)?);
        Ok(Self { listener: socket.listen(BACKLOG)?, path: path.to_owned(), file })
    }

    /// Serves it until the front stops.
    pub(crate) async fn serve(self, app: Arc<App>, stop: watch::Receiver<bool>) {
        let (most, stopping) = (app.limits.local_connections, stop.clone());
        let metrics = app.metrics.clone();
        let full = move || metrics.closed(Limit::LocalConnections);
        accept_all(self, most, full, stop, move |(stream, uid)| {
            Arc::clone(&app).serve(stream, Caller::local(uid), stopping.clone())
        })
        .await;
    }
}

/// Whether someone answers there; a socket on which nobody does is removed.
async fn answers(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is not a socket"));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map(|()| false)
        }
        Err(error) => Err(error),
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Listen for LocalSocket {
    type Stream = (UnixStream, u32);

    async fn next(&self) -> io::Result<Self::Stream> {
        let (stream, _) = self.listener.accept().await?;
        let uid = stream.peer_cred()?.uid();
        Ok((stream, uid))
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| identity(&file) == self.file) {
            // Left behind, it is found stale at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}
