//! From the front to the keeper and back: the front's own near end, and a far end that answers at once.

use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use ca_service::Keeper;
use prost::Message as _;
use proto::door::{Answer, Ask, Caller, Presented, Signed, answer, ask, caller};
use proto::v1::{self, GetTrustBundleResponse};
use tokio::sync::mpsc;

use crate::Failed;
use crate::cpu::{median, micros, spent};
use crate::plan::Plan;
use crate::summary::Summary;

/// Asks in flight.
const IN_FLIGHT: u32 = 64;
/// Asks of each in a round.
const ASKS: u32 = 200;
/// More than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rounds; a round is short.
const ROUNDS: usize = 11;

pub(crate) async fn measure(plan: &Plan, summary: &mut Summary) -> Result<(), Failed> {
    let (near, far) = UnixStream::pair()?;
    thread::spawn(move || answer_all(far));
    let keeper = Keeper::new(usize::try_from(IN_FLIGHT)? * 2);
    let (doors, coming) = mpsc::channel(1);
    let attending = tokio::spawn(keeper.clone().attend(coming, PATIENCE));
    doors.send(near).await?;
    // The first is refused until the door is there.
    while keeper.ask(presented(), PATIENCE, issue()).await.is_err() {
        tokio::task::yield_now().await;
    }
    let mut costs = Vec::new();
    for _ in 0..ROUNDS.min(plan.step_rounds) {
        let before = spent();
        let askers: Vec<_> = (0..IN_FLIGHT).map(|_| tokio::spawn(ask_often(keeper.clone()))).collect();
        for asker in askers {
            asker.await?.map_err(|refused| refused.message)?;
        }
        costs.push(micros(spent().saturating_sub(before), IN_FLIGHT * ASKS));
    }
    attending.abort();
    summary.set("door_us", median(costs));
    Ok(())
}

async fn ask_often(keeper: Keeper) -> Result<(), proto::door::Refused> {
    for _ in 0..ASKS {
        keeper.ask(presented(), PATIENCE, issue()).await?;
    }
    Ok(())
}

fn presented() -> Caller {
    let presented = Presented { serial: vec![0x73; 20], certificate_sha256: vec![0x73; 32] };
    Caller { caller: Some(caller::Caller::Presented(presented)) }
}

/// As long as one is.
fn issue() -> ask::Ask {
    let body = v1::IssueCertificateBody {
        agent: "agents/load/1".into(),
        csr: vec![0x73; 300],
        description: Some(v1::Agent::default()),
        allow_missing: true,
        request_id: "73".repeat(16),
        ..v1::IssueCertificateBody::default()
    };
    ask::Ask::Signed(Signed {
        method: "/rootcellar.v1.IssuanceService/IssueCertificate".into(),
        body: body.encode_to_vec(),
        signature: Some(v1::RequestSignature {
            time_unix_ms: 1_748_736_000_000,
            size: 8,
            path: vec![vec![0x73; 32]; 3],
            signature: vec![0x73; 71],
            ..v1::RequestSignature::default()
        }),
    })
}

/// Likewise.
fn certificate() -> answer::Answer {
    answer::Answer::Certificate(v1::Certificate {
        name: "certificates/100000".into(),
        spiffe_id: "spiffe://cell.internal/agent/load/1".into(),
        serial: "73".repeat(20),
        chain: vec![vec![0x73; 500], vec![0x73; 560]],
        receipt: Some(v1::Receipt {
            origin: "cell.internal/log/1".into(),
            index: 100_000,
            leaf_hash: vec![0x73; 32],
        }),
        ..v1::Certificate::default()
    })
}

/// The far end: what has come is answered in one write, until the near end closes.
fn answer_all(mut door: UnixStream) -> io::Result<()> {
    let (mut reader, certificate) = (BufReader::with_capacity(64 * 1024, door.try_clone()?), certificate());
    let mut answers = Vec::new();
    loop {
        let ask = next(&mut reader)?;
        let answer = match ask.ask {
            Some(ask::Ask::GetTrustBundle(_)) => {
                answer::Answer::GetTrustBundle(GetTrustBundleResponse::default())
            }
            _ => certificate.clone(),
        };
        Answer { id: ask.id, answer: Some(answer) }.encode_length_delimited(&mut answers)?;
        if reader.buffer().is_empty() {
            door.write_all(&answers)?;
            answers.clear();
        }
    }
}

fn next(reader: &mut BufReader<UnixStream>) -> io::Result<Ask> {
    let mut length = Vec::new();
    while length.last().is_none_or(|octet| octet & 0x80 != 0) {
        let mut octet = [0];
        reader.read_exact(&mut octet)?;
        length.extend(octet);
    }
    let mut message = vec![0; prost::decode_length_delimiter(&*length)?];
    reader.read_exact(&mut message)?;
    Ok(Ask::decode(&*message)?)
}
