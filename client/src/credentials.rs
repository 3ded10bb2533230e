//! A controller's files: its key and chain, whom it believes, where it asks.
//!
//! Does not: write a key without the chain for it; `pending` puts both in place together.

use std::path::{Path, PathBuf};

use audit::Trust;
use cell::{ControllerName, TrustDomain};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use sys::files::{self, FileError, PUBLIC};

use crate::connection::{Client, Presented};
use crate::error::Error;
use crate::pem::{certificates_pem, read_certificates};
use crate::pending::{CHAIN, KEY, Pair};
use crate::signer::{Clock, Signer};
use crate::trust::not_older;

/// Name of the file with the trust anchors, PEM, for clients in other languages.
const ANCHORS: &str = "bundle.pem";
/// Name of the file with the newest bundle, a signed note.
const BUNDLE: &str = "bundle.note";
/// Name of the file with the pinned charter, a signed note.
const CHARTER: &str = "charter.note";
/// Name of the file that says where the service is.
const CLIENT: &str = "client.toml";

/// Where the service is, and who asks: the file `client.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientFile {
    server: String,
    cell: String,
    controller: String,
}

/// A controller's address book: what its files say beside key and chain.
#[derive(Debug)]
pub struct Identity {
    /// URL of the service.
    pub server: String,
    /// The cell.
    pub cell: TrustDomain,
    /// The controller.
    pub controller: ControllerName,
}

/// A controller's credentials, read from their directory.
pub struct Credentials {
    /// Where they are.
    pub dir: PathBuf,
    /// Who it is.
    pub identity: Identity,
    /// Whom it believes.
    pub trust: Trust,
    /// Certificate and issuers, DER.
    pub chain: Vec<Vec<u8>>,
    key: Zeroizing<String>,
}

impl Credentials {
    /// Reads the credentials in a directory; a replacement that a crash interrupted is first brought to its end.
    ///
    /// # Errors
    /// A file is missing or malformed, or the bundle is not the charter's.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let identity = Identity::load(&dir.join(CLIENT))?;
        Pair::in_dir(dir).heal()?;
        let charters = files::read(&dir.join(CHARTER))?;
        let bundle = files::read(&dir.join(BUNDLE))?;
        let trust = Trust::read(&charters, &bundle)
            .map_err(|error| FileError::malformed(&dir.join(BUNDLE), error))?;
        let chain = read_certificates(&dir.join(CHAIN))?;
        let key = files::read_private(&dir.join(KEY))?;
        Ok(Self { dir: dir.to_owned(), identity, trust, chain, key })
    }

    /// Connects with them.
    ///
    /// # Errors
    /// The service is not there, or does not prove to be the cell's.
    pub async fn connect(&self) -> Result<Client, Error> {
        self.connect_with(&self.chain, &self.key).await
    }

    /// Connects with another certificate and its key.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_with(&self, chain: &[Vec<u8>], key: &str) -> Result<Client, Error> {
        let (anchors, chain) = (self.trust.bundle().pem(), certificates_pem(chain));
        let credentials = Presented { anchors: &anchors, chain: &chain, key };
        let server = &self.identity.server;
        Client::connect(server, &credentials).await.map_err(|error| unreachable(server, &error))
    }

    /// Has a client sign requests for the newest log of the bundle.
    ///
    /// # Errors
    /// The key signs no requests.
    pub fn signing(&self, client: Client, clock: Clock) -> Result<Client, Error> {
        let log = self.trust.bundle().logs().first();
        let log = log.ok_or_else(|| Error::unverified("the trust bundle", "it names no log"))?;
        let signer = Signer::new(&certificates_pem(&self.chain), &self.key, log.origin.as_str(), clock);
        Ok(client.signing(signer.map_err(|error| Error::Key(error.to_string()))?))
    }

    /// Takes over a newer bundle of the same charter. The files hold the older or the newer one, whole.
    ///
    /// # Errors
    /// It is older, or cannot be written.
    pub fn renew_trust(&mut self, trust: Trust, note: &str) -> Result<(), Error> {
        not_older(trust.bundle(), self.trust.bundle())?;
        if trust.bundle().number() > self.trust.bundle().number() {
            write_bundle(&self.dir, &trust, note)?;
        }
        self.trust = trust;
        Ok(())
    }
}

impl Identity {
    fn load(path: &Path) -> Result<Self, Error> {
        let file: ClientFile =
            toml::from_str(&files::read_text(path)?).map_err(|error| FileError::malformed(path, error))?;
        Ok(Self {
            server: file.server,
            cell: file.cell.parse().map_err(|error| FileError::malformed(path, error))?,
            controller: file.controller.parse().map_err(|error| FileError::malformed(path, error))?,
        })
    }

    /// The controller's SPIFFE ID.
    pub fn spiffe_id(&self) -> String {
        self.controller.spiffe_id(&self.cell).to_string()
    }

    /// Its SPIFFE path, as entries name it.
    pub fn path(&self) -> String {
        self.controller.spiffe_id(&self.cell).path().to_string()
    }

    /// Writes everything but key and chain.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, dir: &Path, trust: &Trust, bundle: &str) -> Result<(), Error> {
        write_bundle(dir, trust, bundle)?;
        let Self { server, cell, controller } = self;
        let file =
            ClientFile { server: server.clone(), cell: cell.to_string(), controller: controller.to_string() };
        let path = dir.join(CLIENT);
        let text = toml::to_string(&file).map_err(|error| FileError::malformed(&path, error))?;
        Ok(files::replace(&path, text.as_bytes(), PUBLIC)?)
    }
}

/// The charters first: they are longer than before, or the same, and the older bundle's are among them.
fn write_bundle(dir: &Path, trust: &Trust, note: &str) -> Result<(), Error> {
    files::replace(&dir.join(CHARTER), trust.charters().to_string().as_bytes(), PUBLIC)?;
    files::replace(&dir.join(BUNDLE), note.as_bytes(), PUBLIC)?;
    Ok(files::replace(&dir.join(ANCHORS), trust.bundle().pem().as_bytes(), PUBLIC)?)
}

fn unreachable(server: &str, error: &dyn std::error::Error) -> Error {
    // The outer error says only that there was one.
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Error::Unreachable { server: server.to_owned(), cause: cause.to_string() }
}
