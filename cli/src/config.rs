//! The configuration: one TOML file, every key with a default, every problem told at once.
//!
//! Two stages: `file` is what was written, with lines; each section's module says what its keys mean, next to the type that it
//! builds. A [`Config`] exists only when all of it is valid.
//!
//! Does not: open a token, or look whether an address can be bound.

mod certificates;
mod file;
mod limits;
mod log;
mod places;
mod service;
mod token;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ca_service::Limits;
use cell::{DnsName, TrustDomain};
use certs::{Blocklist, ObjectIdentifier};
use hsm_config::{KeyAlgorithm, PinSource, TokenConfig};

pub(crate) use file::{Problem, Setting};
pub(crate) use log::LogFormat;
pub(crate) use places::Places;

use file::File;

/// The commented file with every key: `rootcellar config show --reference`.
pub(crate) const REFERENCE: &str = include_str!("../../docs/rootcellar.toml");

/// The configuration in force.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    cell: TrustDomain,
    service: service::Service,
    issuing: token::Issuing,
    standby: token::Standby,
    root: token::Root,
    officer: token::Officer,
    attributes_oid: ObjectIdentifier,
    weak_keys: Arc<Blocklist>,
    keep_free: u64,
    limits: Limits,
    log: log::Log,
    places: Places,
    settings: Vec<Setting>,
}

/// The operator's: a configuration that cannot be used, with every problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct ConfigError {
    file: Option<PathBuf>,
    problems: Vec<Problem>,
}

impl Config {
    /// Reads the file, or takes every default where there is none.
    ///
    /// # Errors
    /// Every problem of the file together.
    pub(crate) fn load(file: Option<&Path>, places: Places) -> Result<Self, ConfigError> {
        let Some(path) = file else { return Self::parse("", places) };
        let named = |problems| ConfigError { file: Some(path.to_owned()), problems };
        let text = std::fs::read_to_string(path).map_err(|error| named(vec![Problem::whole(error)]))?;
        Self::parse(&text, places).map_err(|error| named(error.problems))
    }

    /// What a text means.
    ///
    /// # Errors
    /// Every problem together.
    pub(crate) fn parse(text: &str, places: Places) -> Result<Self, ConfigError> {
        let mut file = File::parse(text, &places);
        // All sections are read before any is judged: their problems are told together.
        let cell = file.value("cell", "cell.internal");
        let service = service::Service::read(&mut file);
        let issuing = token::Issuing::read(&mut file);
        let standby = token::Standby::read(&mut file);
        let root = token::Root::read(&mut file);
        let officer = token::Officer::read(&mut file);
        let attributes_oid = certificates::attributes_oid(&mut file);
        let weak_keys = certificates::weak_keys(&mut file);
        let keep_free = limits::keep_free(&mut file);
        let limits = limits::read(&mut file);
        let log = log::Log::read(&mut file);
        if let (Some(issuing), Some(token::Standby(Some(standby)))) = (&issuing, &standby) {
            token::one_environment(&mut file, &issuing.token, standby);
        }
        let settings = file.finish().map_err(|problems| ConfigError { file: None, problems })?;
        let all = (cell, service, issuing, standby, root, officer, attributes_oid, keep_free, limits, log);
        let (
            Some(cell),
            Some(service),
            Some(issuing),
            Some(standby),
            Some(root),
            Some(officer),
            Some(attributes_oid),
            Some(keep_free),
            Some(limits),
            Some(log),
        ) = all
        else {
            return Err(ConfigError { file: None, problems: vec![Problem::whole("a value is missing")] });
        };
        Ok(Self {
            cell,
            service,
            issuing,
            standby,
            root,
            officer,
            attributes_oid,
            weak_keys,
            keep_free,
            limits,
            log,
            places,
            settings,
        })
    }

    /// Bytes of the journal's disk that are kept for what takes away.
    pub(crate) fn keep_free(&self) -> u64 {
        self.keep_free
    }

    /// Trust domain of the cell.
    pub(crate) fn cell(&self) -> &TrustDomain {
        &self.cell
    }

    /// Where controllers and agents are served, over mutual TLS.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.service.listen
    }

    /// Where probes are answered; a loopback address.
    pub(crate) fn ops_listen(&self) -> SocketAddr {
        self.service.ops_listen
    }

    /// Where CRLs are handed out over plain HTTP; none where they are not.
    pub(crate) fn crl_listen(&self) -> Option<SocketAddr> {
        self.service.crl_listen
    }

    /// The local operator's Unix socket, at most 107 bytes.
    pub(crate) fn socket(&self) -> &Path {
        &self.service.socket
    }

    /// DNS names that the service is reached by, at least one.
    pub(crate) fn dns_names(&self) -> &[DnsName] {
        &self.service.dns_names
    }

    /// Addresses that the service is reached by.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        &self.service.addresses
    }

    /// The URL that clients use: with the configured port, or where the system chooses one, with that on which the front says that it listens.
    pub(crate) fn server_at(&self, listening: Option<SocketAddr>) -> String {
        let host = self.service.dns_names.first().map_or("localhost", DnsName::as_str);
        let port = match self.service.listen.port() {
            0 => listening.map_or(0, |listening| listening.port()),
            configured => configured,
        };
        format!("https://{host}:{port}")
    }

    /// How long the module may take for a start.
    pub(crate) fn start_timeout(&self) -> Duration {
        self.issuing.start_timeout
    }

    /// The service's token.
    pub(crate) fn issuing_token(&self) -> TokenConfig {
        self.issuing.token.clone()
    }

    /// The service's second token, where it has one.
    pub(crate) fn standby_token(&self) -> Option<TokenConfig> {
        self.standby.0.clone()
    }

    /// The officer's token with the root key; the service never opens it (invariant I1).
    pub(crate) fn root_token(&self) -> TokenConfig {
        self.root.token.clone()
    }

    /// The token that holds the officer's own key, where one does.
    pub(crate) fn officer_token(&self) -> Option<TokenConfig> {
        self.officer.token.clone()
    }

    /// Kind of the officer's own key in a token: Ed25519 or P-256, which notes can be signed with.
    pub(crate) fn officer_key(&self) -> KeyAlgorithm {
        self.officer.key
    }

    /// Where the passphrase of the officer's key file comes from.
    pub(crate) fn passphrase(&self) -> &PinSource {
        &self.officer.passphrase
    }

    /// Kind of the mesh issuer's key.
    pub(crate) fn issuing_key(&self) -> KeyAlgorithm {
        self.issuing.issuing_key
    }

    /// Kind of the log's key: Ed25519 or P-256, which notes can be signed with.
    pub(crate) fn log_key(&self) -> KeyAlgorithm {
        self.issuing.log_key
    }

    /// Kind of the root's key.
    pub(crate) fn root_key(&self) -> KeyAlgorithm {
        self.root.key
    }

    /// OID of the extension with an agent's roles and tags.
    pub(crate) fn attributes_oid(&self) -> ObjectIdentifier {
        self.attributes_oid
    }

    /// Keys that are known to be weak.
    pub(crate) fn weak_keys(&self) -> Arc<Blocklist> {
        Arc::clone(&self.weak_keys)
    }

    /// How much of everything the front takes.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The service's directory.
    pub(crate) fn data_dir(&self) -> &Path {
        self.places.data()
    }

    /// The officer's directory.
    pub(crate) fn officer_dir(&self) -> &Path {
        self.places.officer()
    }

    /// Where the record of refused PINs is.
    pub(crate) fn state_dir(&self) -> &Path {
        self.places.state()
    }

    /// How much is logged.
    pub(crate) fn log_level(&self) -> tracing::Level {
        self.log.level
    }

    /// In which form it is logged.
    pub(crate) fn log_format(&self) -> LogFormat {
        self.log.format
    }

    /// Every key with its value, in the order of the reference.
    pub(crate) fn settings(&self) -> &[Setting] {
        &self.settings
    }
}

impl ConfigError {
    pub(crate) fn of(problem: Problem) -> Self {
        Self { file: None, problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.problems.len()) {
            (Some(file), 1) => write!(f, "{}: ", file.display())?,
            (Some(file), count) => write!(f, "{}: {count} problems", file.display())?,
            (None, 1) => {}
            (None, count) => write!(f, "the configuration: {count} problems")?,
        }
        match self.problems.as_slice() {
            [only] => write!(f, "{only}"),
            all => all.iter().try_for_each(|problem| write!(f, "\n  {problem}")),
        }
    }
}

#[cfg(test)]
mod tests;
