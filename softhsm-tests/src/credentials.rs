//! A controller's credentials, as `rootcellar controller add` left them, and a client made from them.

use std::fs;
use std::path::{Path, PathBuf};

use client::{Client, Credentials as Pem};

/// A directory of credentials.
#[derive(Clone, Debug)]
pub struct Credentials {
    dir: PathBuf,
    server: String,
}

impl Credentials {
    /// The credentials in a directory, for a service.
    pub fn new(dir: PathBuf, server: &str) -> Self {
        Self { dir, server: server.to_owned() }
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
        Ok(Client::connect(&self.server, &pem).await?)
    }

    /// A client over a connection of its own.
    ///
    /// # Panics
    /// It cannot connect.
    pub async fn client(&self) -> Client {
        self.try_client().await.expect("the service accepts the controller")
    }
}
