//! Clients under a front that somebody took over: a forged root and an old bundle are refused by those who pin the charter.

use std::fs;
use std::path::Path;

use ceremony::officer::OfficerKey;
use ledger::bundle::Contents;
use ledger::note::Note;
use proto::v1::trust_service_server::{TrustService, TrustServiceServer};
use proto::v1::{
    GetTrustBundleRequest, GetTrustBundleResponse, TrustBundle, WatchTrustBundleRequest,
    WatchTrustBundleResponse,
};
use rootcellar_softhsm_tests::Cell;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::support::{BINARY, House, files_below, still_issues};

/// A front that somebody took over: it has the service's own key and certificate, and hands out whatever bundle it likes.
struct Forged(Note);

#[tonic::async_trait]
impl TrustService for Forged {
    type WatchTrustBundleStream = tokio_stream::Empty<Result<WatchTrustBundleResponse, Status>>;

    async fn get_trust_bundle(
        &self,
        _: Request<GetTrustBundleRequest>,
    ) -> Result<Response<GetTrustBundleResponse>, Status> {
        let bundle = TrustBundle { note: self.0.to_string(), ..TrustBundle::default() };
        Ok(Response::new(GetTrustBundleResponse { bundle: Some(bundle) }))
    }

    async fn watch_trust_bundle(
        &self,
        _: Request<WatchTrustBundleRequest>,
    ) -> Result<Response<Self::WatchTrustBundleStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }
}

impl Forged {
    /// Serves, for as long as the test lasts: its URL.
    fn serve(house: &House, note: Note) -> String {
        let files = files_below(&house.cell.data_dir());
        let read = |name: &str| {
            let path = files.iter().find(|path| path.ends_with(name)).expect("the service's file");
            fs::read(path).unwrap()
        };
        let identity = Identity::from_pem(read("chain.pem"), read("key.pem"));
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = incoming.local_addr().unwrap().port();
        let mut server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
        tokio::spawn(server.add_service(TrustServiceServer::new(Self(note))).serve_with_incoming(incoming));
        format!("https://localhost:{port}")
    }
}

/// A bundle as a founder signed it.
fn signed(contents: &Contents, officer_dir: &Path) -> Note {
    let mut note = contents.draft().unwrap();
    note.sign_with(&OfficerKey::load(&officer_dir.join("officer.key")).unwrap()).unwrap();
    note
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_believes_no_forged_root_and_no_old_bundle_whoever_serves_it() {
    let (house, client) = House::with_build().await;
    let stranger = Cell::founded(BINARY);
    let read = |dir: &Path| Note::parse(&fs::read(dir.join("bundle.note")).unwrap()).unwrap();
    let (first, foreign) = (read(&house.cell.officer_dir()), read(&stranger.officer_dir()));
    let anchors = Contents::read(&foreign).unwrap().anchors;
    let mut contents = Contents::read(&first).unwrap();
    // The officers publish a second one, which the client sees.
    contents.number = 2;
    let second = signed(&contents, &house.cell.officer_dir());
    let request = proto::v1::ImportCeremonyRequest { bundle: second.to_string(), ..Default::default() };
    client.admin().import_ceremony(request).await.expect("a second bundle");
    house.cell.run(&["ca", "bundle", "--controller", "build"]).ok();
    let kept = house.credentials();
    let before = (kept.read("bundle.note"), kept.read("bundle.pem"));
    assert_eq!(before.0, second.to_string());

    let forged = Contents { number: 3, anchors: [contents.anchors.clone(), anchors].concat(), ..contents };
    let moved = second.to_string().replace("number: 2\n", "number: 3\n");
    let cases = [
        ("an older bundle", first, "older"),
        ("a root that nobody signed", forged.draft().unwrap(), "does not verify"),
        ("a root that a stranger signed", signed(&forged, &stranger.officer_dir()), "no officer has signed"),
        ("another number under the officers' signature", Note::parse(moved.as_bytes()).unwrap(), "not valid"),
        ("another cell's bundle", foreign, "does not verify"),
    ];
    for (case, note, said) in cases {
        let url = Forged::serve(&house, note);
        let file = kept.dir().join("client.toml");
        let text = fs::read_to_string(&file).unwrap().replace(&house.serving.server, &url);
        fs::write(&file, text).unwrap();
        let outcome = house.cell.run(&["ca", "bundle", "--controller", "build"]).fails(1);
        assert!(outcome.contains(said), "{case}: {outcome}");
        assert_eq!(
            (kept.read("bundle.note"), kept.read("bundle.pem")),
            before,
            "{case}: nothing is taken over"
        );
        house.credentials();
    }
    house.cell.run(&["ca", "bundle", "--controller", "build"]).ok();
    still_issues(&client).await;
}

#[tokio::test]
async fn an_officers_copy_of_the_bundle_does_not_go_back() {
    let (house, client) = House::with_build().await;
    let own = house.cell.officer_dir().join("bundle.note");
    let first = Note::parse(&fs::read(&own).unwrap()).unwrap();
    let contents = Contents { number: 2, ..Contents::read(&first).unwrap() };
    // As if the service's journal were one from before the second bundle.
    let second = signed(&contents, &house.cell.officer_dir()).to_string();
    fs::write(&own, &second).unwrap();
    for command in [["issuer", "list"].as_slice(), &["issuer", "activate", "1a2b3c4d"]] {
        let said = house.cell.run(command).fails(1);
        assert!(said.contains("bundle 1 is older than bundle 2"), "{said}");
        assert_eq!(fs::read_to_string(&own).unwrap(), second);
    }
    // Handed in, it is in force, and nothing contradicts itself any more.
    let request = proto::v1::ImportCeremonyRequest { bundle: second.clone(), ..Default::default() };
    client.admin().import_ceremony(request).await.expect("the second bundle");
    house.cell.run(&["issuer", "list"]).ok();
    assert_eq!(fs::read_to_string(&own).unwrap(), second);
}
