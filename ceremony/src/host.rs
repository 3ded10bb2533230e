//! A token in a process of its own: a module reads its environment when it is loaded, so each token that a ceremony opens has a child.
//!
//! One line of JSON each way. The PIN is read, or made, in the child and never crosses.

mod child;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use data_encoding::HEXLOWER;
use hsm_config::TokenConfig;
use keeper::Kept;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use child::serve;

/// What a token's process is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Open the token and log in.
    Open {
        /// Make it where it is not there and may be made by software, with a new PIN where its file is missing.
        create: bool,
    },
    /// Say what the token is, without a login.
    Look,
    /// Make a key pair, or find the one that was made under this CKA_ID before a crash; read its attributes back.
    Make {
        /// CKA_ID, hexadecimal.
        id: String,
        /// CKA_LABEL.
        label: String,
        /// Kind of key, as `KeyAlgorithm` writes it.
        algorithm: String,
    },
    /// Say whether a key object has this CKA_ID.
    Taken {
        /// CKA_ID, hexadecimal.
        id: String,
    },
    /// Find the key pair with this public key; read its attributes back.
    Find {
        /// Whether it must be as a CA key must be. One that is to be destroyed need not.
        custody: bool,
        /// SHA-256 of the SubjectPublicKeyInfo, hexadecimal.
        spki_sha256: String,
    },
    /// Sign with the key of this SubjectPublicKeyInfo. The signature is as certificates and notes carry it.
    Sign {
        /// DER, hexadecimal.
        spki: String,
        /// The bytes, hexadecimal.
        message: String,
    },
    /// Say what the token keeps of a cell beside keys.
    Kept {
        /// The cell.
        cell: String,
    },
    /// Draw so many random octets, at most 4,096.
    Random {
        /// How many.
        octets: usize,
    },
    /// Destroy the key pair with this public key, or what is left of it, and look for it again; nothing, where another key has its CKA_ID.
    Destroy {
        /// SHA-256 of its SubjectPublicKeyInfo, hexadecimal.
        spki_sha256: String,
    },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The token.
    Opened(Box<TokenFacts>),
    /// Its model and serial.
    Looked {
        /// Model.
        model: String,
        /// Serial; none of a token that is yet to be made.
        serial: Option<String>,
    },
    /// A key.
    Key(KeyFacts),
    /// There is no such key.
    NoKey,
    /// There is no such token, and none was to be made.
    NoToken,
    /// A signature, or random octets, hexadecimal.
    Octets(String),
    /// Whether the CKA_ID is taken.
    Taken(bool),
    /// What it keeps of a cell.
    Kept {
        /// SHA-256 of its first charter's text, hexadecimal.
        charter: Option<String>,
        /// Notes of its newest checkpoint.
        checkpoints: Vec<String>,
    },
    /// How many objects were destroyed.
    Destroyed(usize),
    /// Why not.
    Failed(String),
}

/// A token and its module, as they describe themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// Label.
    pub label: String,
    /// Serial.
    pub serial: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Version of its firmware.
    pub firmware: String,
    /// The module's file.
    pub module: String,
    /// SHA-256 of that file, hexadecimal.
    pub module_sha256: String,
    /// Description and version of the library.
    pub library: String,
    /// Mechanisms that the token lists.
    pub mechanisms: Vec<String>,
    /// What attests where keys are made, as the token's profile says.
    pub attestation: String,
    /// Claims of invariant I1 that the token's profile excuses it from.
    pub exceptions: Vec<String>,
}

/// A key as the token that holds it describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFacts {
    /// SubjectPublicKeyInfo, DER, hexadecimal.
    pub spki: String,
    /// CKA_ID, hexadecimal.
    pub id: String,
    /// CKA_LABEL.
    pub label: String,
    /// Kind of key, as `KeyAlgorithm` writes it.
    pub algorithm: String,
    /// Attributes as read back.
    pub attributes: Vec<(String, String)>,
}

impl KeyFacts {
    /// SHA-256 of its SubjectPublicKeyInfo, hexadecimal.
    pub fn spki_sha256(&self) -> String {
        let spki = HEXLOWER.decode(self.spki.as_bytes()).unwrap_or_default();
        HEXLOWER.encode(&Sha256::digest(spki))
    }
}

/// A token's process failed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The operator's: the process could not be started or ended early.
    #[error("the token's process: {0}")]
    Process(#[from] std::io::Error),
    /// The token's, or the operator's: what the process reported.
    #[error("{0}")]
    Reported(String),
    /// Our own: an answer of another kind than asked for.
    #[error("the token's process answered something else")]
    Protocol,
}

/// The parent's end.
#[derive(Debug)]
pub struct TokenHost {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl TokenHost {
    /// Starts the process: `command` must run [`serve`] for the same token. The module's environment is added here.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut command: Command, token: &TokenConfig) -> Result<Self, HostError> {
        let mut child =
            command.envs(token.environment()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (asks, answers) = child.stdin.take().zip(child.stdout.take()).ok_or(HostError::Protocol)?;
        Ok(Self { child, asks, answers: BufReader::new(answers) })
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, HostError> {
        let mut line = serde_json::to_string(ask).map_err(std::io::Error::from)?;
        line.push('\n');
        self.asks.write_all(line.as_bytes())?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            return Err(std::io::Error::other("it ended before it answered").into());
        }
        match serde_json::from_str(&answer).map_err(std::io::Error::from)? {
            Answer::Failed(reason) => Err(HostError::Reported(reason)),
            answer => Ok(answer),
        }
    }

    /// Opens the token and logs in; where it is not there, it is made if `create` says so, or there is none.
    ///
    /// # Errors
    /// The token's or the operator's.
    pub fn open(&mut self, create: bool) -> Result<Option<TokenFacts>, HostError> {
        match self.ask(&Ask::Open { create })? {
            Answer::Opened(facts) => Ok(Some(*facts)),
            Answer::NoToken => Ok(None),
            _ => Err(HostError::Protocol),
        }
    }

    /// Model of the token, and its serial where it is there; none where there is no such token and none may be made.
    ///
    /// # Errors
    /// The token's or the operator's.
    pub fn look(&mut self) -> Result<Option<(String, Option<String>)>, HostError> {
        match self.ask(&Ask::Look)? {
            Answer::Looked { model, serial } => Ok(Some((model, serial))),
            Answer::NoToken => Ok(None),
            _ => Err(HostError::Protocol),
        }
    }

    /// Makes a key pair, or finds the one that was made under this CKA_ID before.
    ///
    /// # Errors
    /// The token's, or the key is not as a CA key must be: it is then destroyed.
    pub fn make(&mut self, id: &str, label: &str, algorithm: &str) -> Result<KeyFacts, HostError> {
        let (id, label, algorithm) = (id.to_owned(), label.to_owned(), algorithm.to_owned());
        self.key(&Ask::Make { id, label, algorithm })?.ok_or(HostError::Protocol)
    }

    /// Whether a key object has this CKA_ID, hexadecimal.
    ///
    /// # Errors
    /// The token's.
    pub fn is_taken(&mut self, id: &str) -> Result<bool, HostError> {
        match self.ask(&Ask::Taken { id: id.to_owned() })? {
            Answer::Taken(taken) => Ok(taken),
            _ => Err(HostError::Protocol),
        }
    }

    /// Finds a key pair by the SHA-256 of its SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// The token's, or the key is not as a CA key must be.
    pub fn find(&mut self, spki_sha256: [u8; 32]) -> Result<Option<KeyFacts>, HostError> {
        self.key(&Ask::Find { custody: true, spki_sha256: HEXLOWER.encode(&spki_sha256) })
    }

    /// Finds a key pair that is to be destroyed, whatever became of it.
    ///
    /// # Errors
    /// The token's.
    pub fn find_any(&mut self, spki_sha256: [u8; 32]) -> Result<Option<KeyFacts>, HostError> {
        self.key(&Ask::Find { custody: false, spki_sha256: HEXLOWER.encode(&spki_sha256) })
    }

    fn key(&mut self, ask: &Ask) -> Result<Option<KeyFacts>, HostError> {
        match self.ask(ask)? {
            Answer::Key(key) => Ok(Some(key)),
            Answer::NoKey => Ok(None),
            _ => Err(HostError::Protocol),
        }
    }

    /// Signs; the signature is as certificates and notes carry it.
    ///
    /// # Errors
    /// The token's.
    pub fn sign(&mut self, spki: &[u8], message: &[u8]) -> Result<Vec<u8>, HostError> {
        self.octets(&Ask::Sign { spki: HEXLOWER.encode(spki), message: HEXLOWER.encode(message) })
    }

    /// What the token keeps of a cell beside keys.
    ///
    /// # Errors
    /// The token's.
    pub fn kept(&mut self, cell: &str) -> Result<Kept, HostError> {
        let Answer::Kept { charter, checkpoints } = self.ask(&Ask::Kept { cell: cell.to_owned() })? else {
            return Err(HostError::Protocol);
        };
        let hash = |hex: String| HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok();
        let charter = charter.map(|hex| hash(hex).ok_or(HostError::Protocol)).transpose()?;
        Ok(Kept { charter, checkpoints: checkpoints.into_iter().map(String::into_bytes).collect() })
    }

    /// Draws random octets, at most 4,096.
    ///
    /// # Errors
    /// The token's.
    pub fn random(&mut self, octets: usize) -> Result<Vec<u8>, HostError> {
        self.octets(&Ask::Random { octets })
    }

    /// Destroys a key pair, or what is left of it, by the SHA-256 of its public key: how many objects it was.
    ///
    /// # Errors
    /// The token's, another key has that CKA_ID, or it is still there.
    pub fn destroy(&mut self, spki_sha256: [u8; 32]) -> Result<usize, HostError> {
        match self.ask(&Ask::Destroy { spki_sha256: HEXLOWER.encode(&spki_sha256) })? {
            Answer::Destroyed(objects) => Ok(objects),
            _ => Err(HostError::Protocol),
        }
    }

    fn octets(&mut self, ask: &Ask) -> Result<Vec<u8>, HostError> {
        match self.ask(ask)? {
            Answer::Octets(octets) => HEXLOWER.decode(octets.as_bytes()).map_err(|_| HostError::Protocol),
            _ => Err(HostError::Protocol),
        }
    }
}

impl Drop for TokenHost {
    fn drop(&mut self) {
        // It ends when its input does; what it says then is of no use to anyone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
