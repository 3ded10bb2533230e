//! A token in a process of its own: a module reads its environment when it is loaded, so each token that a ceremony opens has a child.
//!
//! One line of JSON each way. The PIN is read, or made, in the child and never crosses.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use data_encoding::HEXLOWER;
use hsm_config::{
    KeyAlgorithm, KeyFound, KeyRequest, Module, PinGuard, PinSource, Token, TokenConfig, TokenError,
    TokenSession, fresh_pin, sync_files,
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::pin_file;

/// What a token's process is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Initialise the token where there is none, with a new PIN where its file is missing, and log in.
    Provision,
    /// Make a key pair; read its attributes back.
    Generate {
        /// CKA_LABEL.
        label: String,
        /// Kind of key, as `KeyAlgorithm` writes it.
        algorithm: String,
    },
    /// Sign a TBSCertificate with the key of this SubjectPublicKeyInfo.
    Sign {
        /// DER, hexadecimal.
        spki: String,
        /// The bytes, hexadecimal.
        tbs: String,
    },
    /// Draw 32 random octets.
    Random,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The token.
    Provisioned {
        /// Label.
        label: String,
        /// Serial.
        serial: String,
    },
    /// The key made.
    Generated(GeneratedKey),
    /// A signature as certificates carry it, or random octets, hexadecimal.
    Octets(String),
    /// Why not.
    Failed(String),
}

/// A key as the token that made it describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GeneratedKey {
    /// SubjectPublicKeyInfo, DER, hexadecimal.
    pub spki: String,
    /// CKA_ID, hexadecimal.
    pub id: String,
    /// CKA_LABEL.
    pub label: String,
    /// Attributes as read back.
    pub attributes: Vec<(String, String)>,
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

    /// Initialises the token and logs in: label and serial.
    ///
    /// # Errors
    /// The token's or the operator's.
    pub fn provision(&mut self) -> Result<(String, String), HostError> {
        match self.ask(&Ask::Provision)? {
            Answer::Provisioned { label, serial } => Ok((label, serial)),
            _ => Err(HostError::Protocol),
        }
    }

    /// Makes a key pair.
    ///
    /// # Errors
    /// The token's, or the key is not as a CA key must be.
    pub fn generate(&mut self, label: &str, algorithm: KeyAlgorithm) -> Result<GeneratedKey, HostError> {
        match self.ask(&Ask::Generate { label: label.to_owned(), algorithm: algorithm.to_string() })? {
            Answer::Generated(key) => Ok(key),
            _ => Err(HostError::Protocol),
        }
    }

    /// Signs a TBSCertificate.
    ///
    /// # Errors
    /// The token's.
    pub fn sign(&mut self, spki: &[u8], tbs: &[u8]) -> Result<Vec<u8>, HostError> {
        self.octets(&Ask::Sign { spki: HEXLOWER.encode(spki), tbs: HEXLOWER.encode(tbs) })
    }

    /// Draws 32 random octets.
    ///
    /// # Errors
    /// The token's.
    pub fn random(&mut self) -> Result<Vec<u8>, HostError> {
        self.octets(&Ask::Random)
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

/// The child's end: answers until its input ends.
///
/// # Errors
/// Its input or output.
pub fn serve(
    token: &TokenConfig,
    guard: &PinGuard,
    asks: impl BufRead,
    mut answers: impl Write,
) -> std::io::Result<()> {
    let mut open = None;
    for line in asks.lines() {
        let answer = match serde_json::from_str(&line?) {
            Ok(ask) => answer(token, guard, &mut open, ask).unwrap_or_else(Answer::Failed),
            Err(error) => Answer::Failed(error.to_string()),
        };
        serde_json::to_writer(&mut answers, &answer)?;
        answers.write_all(b"\n")?;
        answers.flush()?;
    }
    Ok(())
}

fn answer(
    config: &TokenConfig,
    guard: &PinGuard,
    open: &mut Option<TokenSession>,
    ask: Ask,
) -> Result<Answer, String> {
    if let Ask::Provision = ask {
        let (token, session) = provision(config, guard).map_err(|error| error.to_string())?;
        *open = Some(session);
        return Ok(Answer::Provisioned {
            label: token.info().label.clone(),
            serial: token.info().serial.clone(),
        });
    }
    let session = open.as_ref().ok_or("the token is not open")?;
    match ask {
        Ask::Generate { label, algorithm } => {
            let algorithm =
                algorithm.parse().map_err(|error: hsm_config::UnknownAlgorithm| error.to_string())?;
            let found = session.generate(&KeyRequest { label, algorithm }, &config.profile);
            let found = found.and_then(|found| {
                sync_files(&config.profile, &config.dir)?;
                Ok(found)
            });
            Ok(Answer::Generated(described(&found.map_err(|error| error.to_string())?)))
        }
        Ask::Sign { spki, tbs } => {
            let decode = |hex: &str| HEXLOWER.decode(hex.as_bytes()).map_err(|error| error.to_string());
            let (spki, tbs) = (decode(&spki)?, decode(&tbs)?);
            let key = session.find_key(&spki).map_err(|error| error.to_string())?.key;
            let raw = session.sign(&key, &tbs).map_err(|error| error.to_string())?;
            let signature =
                keeper::certificate_signature(key.algorithm(), raw).map_err(|error| error.to_string())?;
            Ok(Answer::Octets(HEXLOWER.encode(&signature)))
        }
        Ask::Random => {
            let mut octets = [0u8; 32];
            session.random(&mut octets).map_err(|error| error.to_string())?;
            Ok(Answer::Octets(HEXLOWER.encode(&octets)))
        }
        Ask::Provision => Err("the token is open already".into()),
    }
}

fn described(found: &KeyFound) -> GeneratedKey {
    GeneratedKey {
        spki: HEXLOWER.encode(found.key.public_key()),
        id: HEXLOWER.encode(found.key.id()),
        label: found.label.clone(),
        attributes: found
            .attributes
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

/// Opens the token, having made it where it may be made and is not there, and logs in.
fn provision(config: &TokenConfig, guard: &PinGuard) -> Result<(Token, TokenSession), TokenError> {
    config.profile.set_up(&config.dir)?;
    let module = Module::load(&config.profile.module_path()?)?;
    let token = match Token::find(&module, &config.uri) {
        Err(TokenError::NoToken { .. }) if config.profile.initializable => {
            if let PinSource::File(path) = &config.pin {
                let pin = fresh_pin().map_err(|_| TokenError::Malformed("no random numbers for a PIN"))?;
                pin_file::create(path, pin.expose_secret())
                    .map_err(|source| TokenError::Files { path: path.clone(), source })?;
            }
            let token = Token::provision(&module, &config.uri, &config.pin.read()?)?;
            sync_files(&config.profile, &config.dir)?;
            token
        }
        found => found?,
    };
    let session = token.login(&config.pin.read()?, guard)?;
    Ok((token, session))
}
