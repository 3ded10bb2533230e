//! What the tests share: a cell that serves, its callers, requests that are good, and the form of a refusal.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use client::{Client, Presented as Pem, Signer};
use ledger::entry::entry::Kind;
use proto::door::{Serve, ask};
use proto::v1::{Agent, Certificate, IssueCertificateBody, LedgerEntry, ListEntriesRequest};
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData,
    SanType, SignatureAlgorithm, SigningKey,
};
use rootcellar_softhsm_tests::{Cell, Credentials, Faults, Serving, Signal, newest_log};
use rusqlite::Connection;
use tokio::time::{Instant, interval};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

/// A second token for the service, in the configuration.
pub(crate) const STANDBY: &str = "[standby-token]\nuri = \"pkcs11:token=rootcellar-standby\"\n";

/// The product's main with a clock that a test sets.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_rootcellar-under-test");
/// What the controller "build" may ask for.
pub(crate) const GRANT: &str =
    "agents=build/*;roles=logger,scanner;tags=blue;dns=*.mesh.internal;ttl=1h;budget=10000";
/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// A cell that serves. The service ends before its directories go.
pub(crate) struct House {
    pub(crate) serving: Serving,
    pub(crate) cell: Cell,
}

impl House {
    /// Founds a cell and serves it.
    pub(crate) fn new() -> Self {
        Self::of(Cell::founded(BINARY))
    }

    /// Serves a cell.
    pub(crate) fn of(cell: Cell) -> Self {
        Self { serving: cell.serve(), cell }
    }

    /// Founds and serves a cell with the misbehaving module before its token.
    pub(crate) fn with_faults() -> (Self, Faults) {
        let mut cell = Cell::empty(BINARY);
        let faults = Faults::between(&mut cell);
        cell.run(&["init"]).ok();
        (Self::of(cell), faults)
    }

    /// A cell with the controller "build".
    pub(crate) async fn with_build() -> (Self, Client) {
        let house = Self::new();
        let client = house.build().await;
        (house, client)
    }

    /// Registers the controller "build".
    pub(crate) async fn build(&self) -> Client {
        self.controller("build", GRANT).client().await
    }

    /// Registers a controller with one grant.
    pub(crate) fn controller(&self, name: &str, grant: &str) -> Credentials {
        self.cell.controller(&self.serving, name, &[grant])
    }

    /// The credentials of the controller "build".
    pub(crate) fn credentials(&self) -> Credentials {
        self.cell.credentials(&self.serving, "build")
    }

    /// Stops the service as an operator does, while this test's connections live: its exit code.
    pub(crate) async fn stop(&mut self) -> i32 {
        Serving::signal(self.serving.pid(), Signal::TERM);
        self.stop_signalled().await
    }

    /// Its exit code, once it has ended after a signal.
    pub(crate) async fn stop_signalled(&mut self) -> i32 {
        eventually("the service ends", async || self.serving.ended()).await
    }

    /// Ends the service as a loss of power does: none of its processes has time for anything.
    pub(crate) async fn crash(&mut self) {
        for role in ["keeper", "front"] {
            Serving::signal(self.serving.child(role), Signal::KILL);
        }
        Serving::signal(self.serving.pid(), Signal::KILL);
        self.stop_signalled().await;
    }

    /// Stops the service in order, and starts it again.
    pub(crate) async fn restart(&mut self) {
        assert_eq!(self.stop().await, 0, "it stops in order");
        self.serving = self.cell.serve();
    }

    /// Signs with a key as the holder of a chain, both PEM, for the cell's log and by its clock.
    pub(crate) fn signer(&self, chain: &str, key: &str) -> Arc<Signer> {
        self.signer_ahead(chain, key, &Arc::default())
    }

    /// The same by a clock that is so many milliseconds ahead of the cell's.
    pub(crate) fn signer_ahead(&self, chain: &str, key: &str, ahead_ms: &Arc<AtomicI64>) -> Arc<Signer> {
        let origin = newest_log(&self.credentials().read("bundle.note"));
        let (clock, ahead_ms) = (self.cell.clock(), Arc::clone(ahead_ms));
        let ahead = Arc::new(move || clock() + ahead_ms.load(Ordering::Relaxed));
        Signer::new(chain, key, &origin, ahead).expect("a chain and its key")
    }

    /// The officers' anchors, PEM.
    pub(crate) fn anchors(&self) -> String {
        self.cell.run(&["ca", "bundle"]).ok()
    }

    /// A channel of "build", for services that are not ours.
    pub(crate) async fn channel(&self) -> Channel {
        let credentials = self.credentials();
        let tls = ClientTlsConfig::new()
            .ca_certificate(tonic::transport::Certificate::from_pem(credentials.read("bundle.pem")))
            .identity(Identity::from_pem(credentials.read("chain.pem"), credentials.read("key.pem")));
        let endpoint =
            Endpoint::from_shared(self.serving.server.clone()).and_then(|endpoint| endpoint.tls_config(tls));
        endpoint.expect("an endpoint").connect().await.expect("the service accepts the controller")
    }

    /// A client over the local socket.
    pub(crate) async fn local(&self) -> Client {
        self.serving.local().await
    }

    /// Every entry of the ledger.
    pub(crate) async fn entries(&self) -> Vec<LedgerEntry> {
        let (client, mut all, mut start_index) = (self.local().await, Vec::new(), 0);
        loop {
            let request = ListEntriesRequest { start_index, page_size: 500 };
            let page = client.ledger().list_entries(request).await.expect("entries").into_inner();
            all.extend(page.entries);
            start_index = page.next_index;
            if start_index == 0 {
                return all;
            }
        }
    }

    /// A directory for what this test writes.
    pub(crate) fn scratch(&self) -> std::path::PathBuf {
        let dir = self.cell.path("scratch");
        std::fs::create_dir_all(&dir).expect("a directory");
        dir
    }
}

/// The certificate's bytes that an entry records; `None` where it records no agent's, controller's or service's.
pub(crate) fn issuance_of(entry: &LedgerEntry) -> Option<ledger::entry::Issuance> {
    match ledger::entry::decode(&entry.entry).expect("an entry").kind {
        Some(Kind::Issuance(issuance)) => Some(issuance),
        _ => None,
    }
}

/// How many of them record a certificate.
pub(crate) fn issued(entries: &[LedgerEntry]) -> usize {
    entries.iter().filter(|entry| issuance_of(entry).is_some()).count()
}

/// How many of them abandon a certificate.
pub(crate) fn abandoned(entries: &[LedgerEntry]) -> usize {
    let kinds = entries.iter().map(|entry| ledger::entry::decode(&entry.entry).expect("an entry").kind);
    kinds.filter(|kind| matches!(kind, Some(Kind::Abandonment(_)))).count()
}

/// An agent that holds a certificate.
pub(crate) struct Holder {
    pub(crate) key: KeyPair,
    pub(crate) certificate: Certificate,
}

impl Holder {
    /// Asks for a certificate, with a change to the request.
    pub(crate) async fn ask(
        client: &Client,
        id: &str,
        change: impl FnOnce(&mut IssueCertificateBody),
    ) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut request = request(id, csr_of(&key));
        change(&mut request);
        let answer = client.issuance().issue_certificate(request).await.expect("a certificate");
        Self { key, certificate: answer.into_inner().certificate.expect("a certificate") }
    }

    /// The chain, PEM.
    pub(crate) fn chain_pem(&self) -> String {
        chain_pem(&self.certificate.chain)
    }

    /// A connection as this agent.
    pub(crate) async fn try_client(&self, house: &House) -> Result<Client, impl Debug + use<>> {
        let (anchors, chain, key) = (house.anchors(), self.chain_pem(), self.key.serialize_pem());
        let pem = Pem { anchors: &anchors, chain: &chain, key: &key };
        let client = Client::connect(&house.serving.server, &pem).await?;
        Ok::<_, client::ConnectError>(client.signing(house.signer(&chain, &key)))
    }

    /// A connection as this agent.
    pub(crate) async fn client(&self, house: &House) -> Client {
        self.try_client(house).await.expect("the service accepts the agent")
    }
}

/// Certificates as PEM.
pub(crate) fn chain_pem(chain: &[Vec<u8>]) -> String {
    chain.iter().map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der.clone()))).collect()
}

/// A CSR of a new P-256 key, DER.
pub(crate) fn csr() -> Vec<u8> {
    csr_of(&KeyPair::generate().expect("a key"))
}

/// A CSR of a key that asks for nothing else.
pub(crate) fn csr_of(key: &impl SigningKey) -> Vec<u8> {
    csr_with(key, |_| {})
}

/// A CSR that asks for more.
pub(crate) fn csr_with(key: &impl SigningKey, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    change(&mut params);
    params.serialize_request(key).expect("a CSR").der().to_vec()
}

/// A good request: a logger, created where it is missing.
pub(crate) fn request(id: &str, csr: Vec<u8>) -> IssueCertificateBody {
    IssueCertificateBody {
        agent: format!("agents/{id}"),
        csr,
        description: Some(Agent { roles: vec!["logger".into()], ..Agent::default() }),
        allow_missing: true,
        ..IssueCertificateBody::default()
    }
}

/// A public key whose private half is another's: what it signs is signed by a key that is made for it.
pub(crate) struct Anothers {
    public_key: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
    signs: KeyPair,
}

impl Anothers {
    /// From a DER SubjectPublicKeyInfo.
    pub(crate) fn of(spki: &[u8]) -> Self {
        // RFC 5480 §2.2, RFC 8410 §4: the key is at the end, as long as its kind is.
        let (algorithm, octets) = match spki.len() {
            91 => (&PKCS_ECDSA_P256_SHA256, 65),
            120 => (&PKCS_ECDSA_P384_SHA384, 97),
            44 => (&PKCS_ED25519, 32),
            other => panic!("{other}"),
        };
        let public_key = spki[spki.len() - octets..].to_vec();
        Self { public_key, algorithm, signs: KeyPair::generate_for(algorithm).unwrap() }
    }
}

impl PublicKeyData for Anothers {
    fn der_bytes(&self) -> &[u8] {
        &self.public_key
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for Anothers {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signs.sign(message)
    }
}

/// What a front asks with for a certificate of this key.
pub(crate) fn serve(key: &impl SigningKey) -> ask::Ask {
    let uri = SanType::URI("spiffe://cell.internal/service/ca".try_into().unwrap());
    ask::Ask::Serve(Serve { csr: csr_with(key, |params| params.subject_alt_names = vec![uri]) })
}

/// Asks for a certificate.
pub(crate) async fn ask(client: &Client, request: IssueCertificateBody) -> Result<Certificate, Status> {
    let answer = client.issuance().issue_certificate(request).await?;
    Ok(answer.into_inner().certificate.expect("a certificate"))
}

/// Asks with a good request, which is granted.
pub(crate) async fn issue(client: &Client, id: &str) -> Certificate {
    ask(client, request(id, csr())).await.expect("a certificate")
}

/// After whatever happened, the next good request is granted.
pub(crate) async fn still_issues(client: &Client) {
    issue(client, "build/next").await;
}

/// The answer is a refusal of this code and reason, in our domain.
#[track_caller]
pub(crate) fn refused<T>(answer: Result<T, Status>, code: Code, reason: &str) -> Status {
    let Err(status) = answer else { panic!("granted, and not refused with {reason}") };
    let info = status.get_details_error_info();
    let (said, domain) = info.map(|info| (info.reason, info.domain)).unwrap_or_default();
    assert_eq!((status.code(), said.as_str(), domain.as_str()), (code, reason, "rootcellar"), "{status:?}");
    assert!(!status.message().is_empty(), "a sentence for people");
    status
}

/// The answer's message.
pub(crate) fn inner<T>(answer: Result<Response<T>, Status>) -> T {
    answer.expect("it is granted").into_inner()
}

/// Looks until there is something to see.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let (deadline, mut ticks) = (Instant::now() + PATIENCE, interval(LOOK));
    loop {
        ticks.tick().await;
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "it did not happen: {what}");
    }
}

/// Whether a process is there, and no zombie.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// Every file below a directory.
pub(crate) fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The file of a cell's journal, as another program has it: waits for the service's transactions.
pub(crate) fn database(cell: &Cell) -> Connection {
    let connection = Connection::open(cell.data_dir().join("journal.sqlite")).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

/// The newest checkpoint of a journal.
pub(crate) struct Checkpoint(pub(crate) i64, String);

impl Checkpoint {
    pub(crate) fn of(cell: &Cell) -> Self {
        let journal = database(cell);
        let row =
            journal.query_row("SELECT size, note FROM checkpoint", [], |row| Ok((row.get(0)?, row.get(1)?)));
        let (size, note) = row.unwrap();
        Self(size, note)
    }

    pub(crate) fn note(&self) -> &str {
        &self.1
    }

    pub(crate) fn put_back(&self, cell: &Cell) {
        let journal = database(cell);
        let Self(size, note) = self;
        let changed =
            journal.execute("UPDATE checkpoint SET size = ?1, note = ?2 WHERE size > ?1", (size, note));
        assert_eq!(changed.unwrap(), 1, "there is a newer one");
    }
}
