//! A controller's credentials, as `rootcellar controller add` left them, and a client made from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::{Client, Clock, Presented as Pem, Signer};
use ledger::bundle::Contents;
use ledger::note::Note;

/// A directory of credentials.
#[derive(Clone)]
pub struct Credentials {
    dir: PathBuf,
    server: String,
    clock: Clock,
}

impl Credentials {
    /// The credentials in a directory, for a service, by the clock of its cell.
    pub fn new(dir: PathBuf, server: &str, clock: Clock) -> Self {
        Self { dir, server: server.to_owned(), clock }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file of them.
    ///
    /// # Panics
    /// It is not there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).expect("a file of the credentials")
    }

    /// A client over a connection of its own.
    ///
    /// # Errors
    /// The connection's.
    pub async fn try_client(&self) -> Result<Client, Box<dyn std::error::Error>> {
        let (anchors, chain, key) = (self.read("bundle.pem"), self.read("chain.pem"), self.read("key.pem"));
        let pem = Pem { anchors: &anchors, chain: &chain, key: &key };
        let signer =
            Signer::new(&chain, &key, &newest_log(&self.read("bundle.note")), Arc::clone(&self.clock))?;
        Ok(Client::connect(&self.server, &pem).await?.signing(signer))
    }

    /// A client over a connection of its own.
    ///
    /// # Panics
    /// It cannot connect.
    pub async fn client(&self) -> Client {
        self.try_client().await.expect("the service accepts the controller")
    }
}

/// Origin of the newest log that a trust bundle names.
///
/// # Panics
/// It is no bundle.
pub fn newest_log(bundle: &str) -> String {
    let contents = Note::parse(bundle.as_bytes()).map(|note| Contents::read(&note));
    let contents = contents.expect("a note").expect("a bundle");
    contents.logs.first().expect("a log").origin.to_string()
}
