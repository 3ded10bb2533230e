//! The service's key and chain in files: `key.pem` (0600) and `chain.pem`, in a directory that only its user can enter.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use pem::Pem;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

const KEY: &str = "key.pem";
const CHAIN: &str = "chain.pem";

/// Nobody but the owner.
const OTHERS: u32 = 0o077;

/// The directory, whose mode was checked.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    /// Takes the directory, and makes it where there is none.
    ///
    /// # Errors
    /// The system's; `PermissionDenied` for one that others can enter.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        refuse_wider(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Key and chain, if both are there.
    ///
    /// # Errors
    /// The system's; `InvalidData` for what is not PEM, `PermissionDenied` for a key that others could read.
    pub(super) fn load(&self) -> io::Result<Option<(PrivateKeyDer<'static>, Vec<CertificateDer<'static>>)>> {
        let (key, chain) = (self.dir.join(KEY), self.dir.join(CHAIN));
        if !key.try_exists()? || !chain.try_exists()? {
            return Ok(None);
        }
        refuse_wider(&key)?;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let pem = Zeroizing::new(fs::read(&key)?);
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(invalid)?;
        let chain = fs::read(&chain)?;
        let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().map_err(invalid)?;
        Ok(Some((key, chain)))
    }

    /// Writes both, each whole or not at all. Blocks for two syncs, some milliseconds, once in half a certificate's life.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn save(&self, key_pem: &Zeroizing<String>, chain: &[CertificateDer<'_>]) -> io::Result<()> {
        self.replace(KEY, key_pem.as_bytes())?;
        let chain: Vec<_> = chain.iter().map(|der| Pem::new("CERTIFICATE", der.as_ref())).collect();
        self.replace(CHAIN, pem::encode_many(&chain).as_bytes())
    }

    /// A crash leaves the old file, and perhaps a `.new` beside it that the next write removes.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let fresh = self.dir.join(format!("{name}.new"));
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, self.dir.join(name))?;
        File::open(&self.dir)?.sync_all()
    }
}

fn refuse_wider(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let what = format!("{} has mode {:04o}, so that others can use it", path.display(), mode & 0o7777);
    Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
}
