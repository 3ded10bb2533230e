//! The load: a controller that asks for certificates over a few connections, so many at a time, for so long.
//!
//! It ends by itself. Its requests are real: each caller has an agent and a key of its own, all checks are on, every certificate is
//! recorded.

mod batch;
mod connect;
mod figures;

use std::path::Path;
use std::time::{Duration, Instant};

use client::Client;
use proto::v1::{Agent, IssueCertificateBody};

pub use connect::{channel, connected};
use figures::Answers;
pub use figures::{Figures, Sample};

use crate::Failed;

/// How much is asked, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests in flight, over all connections.
    pub in_flight: usize,
    /// Connections.
    pub connections: usize,
    /// How long new requests are made.
    pub time: Duration,
    /// Over one `BatchIssueCertificates` stream a connection instead of single requests.
    pub batch: bool,
}

impl Load {
    /// Asks for the agents PREFIX/0, PREFIX/1, … as the controller whose credentials are in `dir`.
    ///
    /// # Errors
    /// The connections', or a stream's that broke. A refused request is counted, and is no error here.
    pub async fn run(&self, dir: &Path, prefix: &str) -> Result<Figures, Failed> {
        let clients = connect::all_connected(dir, self.connections.max(1)).await?;
        let numbers = 0..self.in_flight.max(1);
        let requests: Vec<_> = numbers.map(|number| request(prefix, number)).collect::<Result<_, _>>()?;
        let started = Instant::now();
        let until = started + self.time;
        let callers: Vec<_> = if self.batch {
            let each = requests.len().div_ceil(clients.len());
            let streams = clients.into_iter().zip(requests.chunks(each));
            streams.map(|(client, some)| tokio::spawn(batch::stream(client, some.to_vec(), until))).collect()
        } else {
            let clients = clients.into_iter().cycle().zip(requests);
            clients.map(|(client, request)| tokio::spawn(caller(client, request, until))).collect()
        };
        let mut answers = Vec::new();
        for caller in callers {
            answers.push(caller.await??);
        }
        Ok(Figures::new(answers, started.elapsed()))
    }
}

/// What one caller asks for: one agent, one key.
pub(crate) fn request(prefix: &str, number: usize) -> Result<IssueCertificateBody, Failed> {
    let key = rcgen::KeyPair::generate()?;
    let csr = rcgen::CertificateParams::default().serialize_request(&key)?.der().to_vec();
    Ok(IssueCertificateBody {
        agent: format!("agents/{prefix}/{number}"),
        csr,
        description: Some(Agent::default()),
        allow_missing: true,
        ..IssueCertificateBody::default()
    })
}

/// One caller: one request after the other.
async fn caller(client: Client, request: IssueCertificateBody, until: Instant) -> Result<Answers, Failed> {
    let issuance = client.issuance();
    let mut answers = Answers::default();
    while Instant::now() < until {
        let asked = Instant::now();
        match issuance.issue_certificate(request.clone()).await {
            Ok(_) => answers.samples.push(Sample::since(&asked)),
            Err(status) => answers.refused(status.to_string()),
        }
    }
    Ok(answers)
}
