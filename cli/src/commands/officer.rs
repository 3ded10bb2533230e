//! `rootcellar officer`: an officer's own key.

use std::fs;
use std::path::{Path, PathBuf};

use cell::TrustDomain;
use ceremony::host::HostError;
use ceremony::officer::{KeyFile, OfficerKey};
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use hsm_config::PinSource;
use ledger::note::{KeyName, NoteSigner as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::Failure;
use crate::files;
use crate::officer_key::{KEY, passphrase, read};
use crate::output::{Page, Show};
use crate::session::Session;
use crate::tokens::{self, Which};

/// Octets of the CKA_ID of a key in a token.
const ID_LEN: usize = 16;
/// What a new key in a token signs once, to show that it can: no note, since it does not end with a line.
const CHECKED: &[u8] = b"rootcellar/v1 officer-key-check";
/// Characters below which a passphrase is called short.
const SHORT: usize = 12;

/// An officer's key: make one, show its public half
#[derive(Debug, Subcommand)]
pub(crate) enum Officer {
    Create(Create),
    Show(ShowKey),
}

/// Make an officer's key (Ed25519) in a file that only its owner reads, or in a token, and print its public half, which a charter names
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootcellar officer create alice --passphrase
  rootcellar officer create alice --in-token     # [officer] token = \"pkcs11:token=alice\"")]
pub(crate) struct Create {
    /// Name of the officer
    name: String,
    /// Trust domain of the cell [default: the configuration's, cell.internal]
    #[arg(long, value_name = "NAME")]
    cell: Option<TrustDomain>,
    /// Where the key goes [default: OFFICER_DIR/officer.key]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Put the key under a passphrase, which is taken as the configuration says (`[officer] passphrase`)
    #[arg(long, conflicts_with = "in_token")]
    passphrase: bool,
    /// Make the key in the token of the configuration (`[officer] token`); the file then only names it
    #[arg(long)]
    in_token: bool,
}

/// Print the public half of an officer's key
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rootcellar officer show\n  rootcellar officer show --line > alice.pub")]
pub(crate) struct ShowKey {
    /// Print the line alone that a charter names the officer by
    #[arg(long)]
    line: bool,
    /// The key [default: OFFICER_DIR/officer.key]
    #[arg(long, value_name = "FILE")]
    officer_key: Option<PathBuf>,
}

pub(super) fn run(session: &Session, args: &Officer) -> Result<(), Failure> {
    sys::harden().map_err(|error| Failure::new("OFFICER", error))?;
    match args {
        Officer::Create(args) => create(session, args),
        Officer::Show(args) => {
            let (path, file) = read(session, args.officer_key.as_ref())?;
            if args.line && !session.output().is_json() {
                return session.output().raw(&format!("{}\n", file.key()));
            }
            session.output().say(&Key { officer: file.key().to_string(), file: path })
        }
    }
}

fn create(session: &Session, args: &Create) -> Result<(), Failure> {
    let config = session.config()?;
    let cell = args.cell.as_ref().unwrap_or(config.cell());
    if !args.name.is_ascii() {
        return Err(Failure::usage("an officer's name is of ASCII letters: others look like them"));
    }
    let name: KeyName = format!("{cell}/officer/{}", args.name)
        .parse()
        .map_err(|error| Failure::usage(format!("{}: {error}", args.name)))?;
    let path = if let Some(path) = &args.out {
        path.clone()
    } else {
        files::make_private_dir(config.officer_dir())?;
        config.officer_dir().join(KEY)
    };
    // Looked for before anything is made or asked for; it is never written over.
    if path.symlink_metadata().is_ok() {
        return Err(Failure::new(
            "FILE",
            format!("{} is there already: it is not written over", path.display()),
        )
        .mended_by("rootcellar officer show; for another key, --out FILE"));
    }
    if args.in_token {
        return in_token(session, name, path);
    }
    let mut seed = Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut *seed).map_err(|error| Failure::new("RANDOM", error))?;
    let key = if args.passphrase {
        KeyFile::seal(&path, name, &seed, &new_passphrase(session)?)
    } else {
        OfficerKey::create(&path, name, &seed)
    };
    let key = key.map_err(|error| Failure::malformed(&path, error))?;
    if !args.passphrase {
        tracing::warn!(
            "whoever reads {} is this officer: --passphrase or --in-token keep it better",
            path.display()
        );
    }
    session.output().say(&Key { officer: key.key().to_string(), file: path })
}

/// The key is made in the token, as a CA's is: it signs, and never leaves it. Under which CKA_ID is written down first: cut short, the
/// same command finds the key that was made, and makes no other.
fn in_token(session: &Session, name: KeyName, path: PathBuf) -> Result<(), Failure> {
    let config = session.config()?;
    let failed = |error: HostError| Failure::new("TOKEN", error);
    let mut host = tokens::process(session, &config, Which::Officer)?;
    host.open(true).map_err(failed)?;
    let intended = files::suffixed(&path, ".intended");
    let id = intended_id(&intended)?;
    let made = host.make(&id, "rootcellar officer", &config.officer_key().to_string());
    let spki = HEXLOWER.decode(made.map_err(failed)?.spki.as_bytes());
    let spki = spki.map_err(|error| Failure::new("INTERNAL", error))?;
    let key = audit::note_key(name, &spki).map_err(|error| Failure::new("INTERNAL", error))?;
    // A key that cannot sign is found out now, and not when an act waits for it.
    let signature = host.sign(&spki, CHECKED).map_err(failed)?;
    if !key.verify(CHECKED, &signature) {
        return Err(Failure::new("TOKEN", "the token's signature with the new key does not verify"));
    }
    KeyFile::hold(&path, &key).map_err(|error| Failure::malformed(&path, error))?;
    fs::remove_file(&intended).map_err(|error| Failure::file(&intended, error))?;
    session.output().say(&Key { officer: key.to_string(), file: path })
}

/// The CKA_ID that an earlier run wrote down, or a new one, written down: 32 hexadecimal digits.
fn intended_id(path: &Path) -> Result<String, Failure> {
    if path.exists() {
        let id = files::read_text(path)?;
        let is_id = HEXLOWER.decode(id.as_bytes()).is_ok_and(|id| id.len() == ID_LEN);
        return if is_id { Ok(id) } else { Err(Failure::malformed(path, "it is no CKA_ID")) };
    }
    let mut id = [0u8; ID_LEN];
    getrandom::fill(&mut id).map_err(|error| Failure::new("RANDOM", error))?;
    let id = HEXLOWER.encode(&id);
    files::replace(path, id.as_bytes(), files::SECRET)?;
    Ok(id)
}

/// A passphrase that is set: on a terminal it is asked for twice.
fn new_passphrase(session: &Session) -> Result<SecretString, Failure> {
    let secret = passphrase(session)?;
    if *session.config()?.passphrase() == PinSource::Prompt {
        let again = PinSource::Prompt.read_asking("The same again: ");
        let again = again.map_err(|error| Failure::new("PASSPHRASE", error))?.into_secret();
        if again.is_none_or(|again| again.expose_secret() != secret.expose_secret()) {
            return Err(Failure::new("PASSPHRASE", "the two passphrases differ: no key was made"));
        }
    }
    if secret.expose_secret().chars().count() < SHORT {
        tracing::warn!(
            "the passphrase has fewer than {SHORT} characters: whoever gets the file may find it by trying"
        );
    }
    Ok(secret)
}

#[derive(Serialize)]
struct Key {
    officer: String,
    file: PathBuf,
}

impl Show for Key {
    fn show(&self, page: &mut Page) {
        page.field("officer", &self.officer);
        page.field("key", self.file.display());
    }
}
