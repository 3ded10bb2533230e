//! `rootcellar init`: a cell founded by one officer. The ceremony is the same as that of several, and so is its code; one officer approves
//! its plan, is present, and publishes the bundle.
//!
//! Every step keeps what it made in a file before the next begins: a founding that was cut short goes on from there.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use audit::ceremony::Evidence;
use cell::TrustDomain;
use hsm_config::TokenUri;
use keeper::{Import, bundles};
use ledger::bundle::Contents;
use ledger::charter::{Charter, Terms as CharterTerms};
use ledger::note::{KeyName, Note, NoteSigner};
use ledger::plan::{MakeKey, Plan as CeremonyPlan, Step};
use ledger::transcript::Transcript;
use zeroize::Zeroizing;

use crate::directory::{self, Directory, DirectoryError};
use crate::execute::{self, ExecuteError, Ground, Progress};
use crate::host::{HostError, TokenHost};
use crate::officer::{self, OfficerKey};
use crate::plans::{KeyIn, Terms};
use crate::transcript;
use sys::durable;

/// How long the plan is good for, in seconds: it is carried out at once, and may be gone on with for so long.
const PLAN_SECS: i64 = 30 * 86_400;
/// The one file that may be in a data directory before a cell is.
const CONFIGURATION: &str = "rootcellar.toml";
/// Where ceremonies lie, below the officer's directory.
const CEREMONIES: &str = "ceremonies";
/// Where this one lies, below the officer's directory.
const CEREMONY: &str = "ceremonies/found";
/// The journal, by which a cell that is founded is known.
const JOURNAL: &str = "journal.sqlite";

/// What to found.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Trust domain.
    pub cell: TrustDomain,
    /// The service's data directory.
    pub data_dir: PathBuf,
    /// The officer's own directory.
    pub officer_dir: PathBuf,
    /// Name of the officer.
    pub officer: String,
    /// The root's token, and the kind of its key.
    pub root: KeyIn<'a>,
    /// The service's token, and the kind of the issuer's key.
    pub issuer: KeyIn<'a>,
    /// The service's token, and the kind of the log's key.
    pub log: KeyIn<'a>,
}

/// What was founded.
#[derive(Clone, Debug)]
pub struct Founded {
    /// What the ceremony did, verified.
    pub evidence: Evidence,
    /// The officer's public key as notes name it.
    pub officer: ledger::note::VerifierKey,
    /// The trust bundle.
    pub bundle: Contents,
    /// Where the ceremony lies.
    pub ceremony: PathBuf,
}

/// A cell could not be founded. The same command goes on from where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// The operator's: there is one.
    #[error("{} is not empty: a cell was founded there, or something else lies there", .0.display())]
    NotEmpty(PathBuf),
    /// The operator's: others could read what will be in it.
    #[error("{path} is open to others (mode {mode:04o}): chmod 0700 {path}", path = .path.display())]
    TooWide {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The operator's: the directory cannot be used.
    #[error("{path}: {source}", path = .path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The operator's: what was begun there is for another cell or officer.
    #[error("{} holds the beginning of another founding", .0.display())]
    Other(PathBuf),
    /// The operator's: what was begun there makes other keys, or in other tokens, than the configuration says now.
    #[error(
        "{path} holds the beginning of a founding with other keys ({begun}) than are asked for now ({asked})",
        path = .path.display()
    )]
    OtherKeys {
        /// Where it lies.
        path: PathBuf,
        /// The keys of its plan: name, algorithm and token of each.
        begun: String,
        /// Those that are asked for.
        asked: String,
    },
    /// The operator's, or the file system's: a file of the ceremony.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The token's, or the operator's.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// The operator's: the officer's key file.
    #[error(transparent)]
    Officer(#[from] officer::KeyFileError),
    /// The disk's, or what was done founds no cell.
    #[error(transparent)]
    Founding(#[from] keeper::FoundingError),
    /// The operating system's.
    #[error("no random numbers from the operating system")]
    NoRandom,
    /// Our own: {0}.
    #[error("a fault of our own: {0}")]
    Internal(String),
}

fn internal(error: impl ToString) -> FoundError {
    FoundError::Internal(error.to_string())
}

/// Makes the two directories, private, and empty but for a configuration and for what a founding that was cut short has left.
///
/// # Errors
/// They are not empty, open to others, or cannot be made.
pub fn prepare(data_dir: &Path, officer_dir: &Path) -> Result<(), FoundError> {
    // The very first thing that a founding makes.
    let begun = officer_dir.join(CEREMONIES).exists();
    for path in [data_dir, officer_dir] {
        let failed = |source| FoundError::Path { path: path.to_owned(), source };
        durable::make_dirs(path).map_err(failed)?;
        let mode = std::fs::metadata(path).map_err(failed)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(FoundError::TooWide { path: path.to_owned(), mode });
        }
        for there in std::fs::read_dir(path).map_err(failed)? {
            let name = there.map_err(failed)?.file_name();
            // A configuration written beforehand is no cell.
            if name == JOURNAL || (name != CONFIGURATION && !begun) {
                return Err(FoundError::NotEmpty(path.to_owned()));
            }
        }
    }
    // From here on it has begun: what is made in them is this founding's.
    Directory::create(&officer_dir.join(CEREMONY))?;
    Ok(())
}

/// Founds the cell, or goes on with it. `open` gives the process of the token with this URI; `ground` makes the rest of what the
/// execution of a plan stands on.
///
/// # Errors
/// As the variants say.
pub fn found<'g>(
    plan: &Plan<'_>,
    ground: impl for<'p> Fn(&'p ledger::plan::ApprovedPlan) -> Ground<'p> + 'g,
    now_ms: i64,
    open: impl FnMut(&str) -> Result<Option<TokenHost>, HostError>,
) -> Result<Founded, FoundError> {
    let founding = Founding::begin(plan, now_ms)?;
    let approved = CeremonyPlan::approve(&founding.plan, &founding.charter, now_ms.div_euclid(1000));
    let approved = approved.map_err(internal)?;
    let (progress, record) = execute::execute(founding.dir.path(), &ground(&approved), open)?;
    if progress != Progress::Done {
        return Err(internal("a token is not of this machine"));
    }
    let transcript = founding.keep(directory::TRANSCRIPT, || {
        let written = transcript::transcript(&approved, &founding.plan, &record, &[]).map_err(internal)?;
        founding.sign(Transcript::draft(&written).map_err(internal)?)
    })?;
    let evidence =
        Evidence::open(transcript.to_string().as_bytes(), &founding.charter, &[]).map_err(internal)?;
    let bundle = founding.keep(directory::BUNDLE, || {
        let contents = bundles::after(&evidence, &founding.charter, None).map_err(internal)?;
        founding.sign(contents.ok_or_else(|| internal("no bundle"))?.draft().map_err(internal)?)
    })?;
    let (charter, transcript) = (&founding.charter_note, transcript.to_string());
    let import =
        Import { charter: Some(charter), transcript: Some(transcript.as_bytes()), bundle: Some(&bundle) };
    // The officer's own copies first: once there is a journal, the cell is founded.
    for (name, note) in [(directory::CHARTER, charter), (directory::BUNDLE, &bundle)] {
        directory::write_note(&plan.officer_dir.join(name), note)?;
    }
    keeper::found(&plan.data_dir, plan.cell.as_ref(), &import, now_ms)?;
    Ok(Founded {
        evidence,
        officer: founding.officer.key().clone(),
        bundle: Contents::read(&bundle).map_err(internal)?,
        ceremony: founding.dir.path().to_owned(),
    })
}

/// What a founding begins with: the officer, the charter, the plan. Each is read where it is there.
struct Founding {
    dir: Directory,
    officer: OfficerKey,
    charter_note: Note,
    charter: Charter,
    plan: Note,
}

impl Founding {
    fn begin(plan: &Plan<'_>, now_ms: i64) -> Result<Self, FoundError> {
        let dir = Directory::create(&plan.officer_dir.join(CEREMONY))?;
        let officer = officer_key(plan)?;
        let terms = CharterTerms {
            cell: plan.cell.to_string(),
            revision: 1,
            quorum: 1,
            officers: vec![officer.key().clone()],
        };
        let charter_note =
            keep(&dir, directory::CHARTER, || sign(terms.draft().map_err(internal)?, &officer))?;
        let charter = Charter::found(&charter_note).map_err(internal)?;
        if *charter.terms() != terms {
            return Err(FoundError::Other(dir.path().to_owned()));
        }
        let expires_unix = now_ms.div_euclid(1000) + PLAN_SECS;
        let terms = Terms { charter: charter.terms(), nonce: nonce()?, expires_unix };
        let found = terms.found(plan.root, plan.issuer, plan.log);
        let note = keep(&dir, directory::PLAN, || sign(found.draft().map_err(internal)?, &officer))?;
        let begun = keys(&CeremonyPlan::read(&note).map_err(internal)?);
        if begun != keys(&found) {
            let path = dir.path().to_owned();
            return Err(FoundError::OtherKeys { path, begun, asked: keys(&found) });
        }
        Ok(Self { dir, officer, charter_note, charter, plan: note })
    }

    fn keep(&self, name: &str, make: impl FnOnce() -> Result<Note, FoundError>) -> Result<Note, FoundError> {
        keep(&self.dir, name, make)
    }

    fn sign(&self, note: Note) -> Result<Note, FoundError> {
        sign(note, &self.officer)
    }
}

/// The keys that a plan makes: name, algorithm, and token by label or else by URI.
fn keys(plan: &CeremonyPlan) -> String {
    let made = plan.steps.iter().filter_map(|step| match step {
        Step::MakeKey(make) => Some(make),
        _ => None,
    });
    let one = |make: &MakeKey| {
        let uri: Option<TokenUri> = make.token.parse().ok();
        let token = uri.as_ref().and_then(TokenUri::label).unwrap_or(&make.token);
        format!("{} {} in {token}", make.name, make.algorithm)
    };
    made.map(one).collect::<Vec<_>>().join(", ")
}

/// The note of this name; made and kept where it is not there.
fn keep(
    dir: &Directory,
    name: &str,
    make: impl FnOnce() -> Result<Note, FoundError>,
) -> Result<Note, FoundError> {
    if let Some(note) = dir.read(name)? {
        return Ok(note);
    }
    let note = make()?;
    dir.write(name, &note)?;
    Ok(note)
}

fn sign(mut note: Note, officer: &OfficerKey) -> Result<Note, FoundError> {
    note.sign_with(officer).map_err(internal)?;
    Ok(note)
}

fn nonce() -> Result<[u8; 16], FoundError> {
    let mut nonce = [0u8; 16];
    getrandom::fill(&mut nonce).map_err(|_| FoundError::NoRandom)?;
    Ok(nonce)
}

fn officer_key(plan: &Plan<'_>) -> Result<OfficerKey, FoundError> {
    let path: &Path = &plan.officer_dir.join("officer.key");
    if path.exists() {
        return Ok(OfficerKey::load(path)?);
    }
    let mut seed = Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut *seed).map_err(|_| FoundError::NoRandom)?;
    let name: KeyName = format!("{}/officer/{}", plan.cell, plan.officer).parse().map_err(internal)?;
    Ok(OfficerKey::create(path, name, &seed)?)
}
