//! The load generator: a controller that asks for certificates over a few connections, so many at a time, for so long.
//!
//! It stops by itself. Its requests are real: each has a CSR of its own key, all checks are on, every certificate is recorded.
//! Prints one JSON object: rate, latencies, errors.

mod batch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use proto::client::{Client, Credentials};
use proto::v1::{Agent, IssueCertificateRequest};

/// Longest run, in seconds: a load ends by itself.
const SECONDS_MAX: u64 = 600;

/// Ask for certificates as fast as the service gives them
#[derive(Debug, Parser)]
struct Args {
    /// Credentials of a controller, as `rootcellar controller add` wrote them
    #[arg(long, value_name = "DIR")]
    credentials: PathBuf,
    /// Agents to ask for are PREFIX/0, PREFIX/1, …; the grant must cover them
    #[arg(long, default_value = "load")]
    prefix: String,
    /// Connections
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Requests in flight, over all connections
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Over one BatchIssueCertificates stream a connection instead of single requests
    #[arg(long)]
    batch: bool,
    /// Seconds, at most 600
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Failed::from).and_then(|runtime| runtime.block_on(load(&args)));
    match outcome {
        Ok(figures) => {
            println_json(&figures);
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn println_json(figures: &serde_json::Value) {
    println!("{figures:#}");
}

#[expect(clippy::print_stderr, reason = "a program for people at a terminal")]
fn tell(message: &str) {
    eprintln!("error: {message}");
}

async fn load(args: &Args) -> Result<serde_json::Value, Failed> {
    let mut clients = Vec::new();
    for _ in 0..args.connections.max(1) {
        clients.push(connect(args).await?);
    }
    let errors = Arc::new(AtomicU64::new(0));
    let requests: Vec<_> =
        (0..args.in_flight.max(1)).map(|number| request(args, number)).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let until = started + Duration::from_secs(args.seconds.min(SECONDS_MAX));
    let callers: Vec<_> = if args.batch {
        let each = requests.len().div_ceil(clients.len());
        let streams = clients.into_iter().zip(requests.chunks(each));
        streams
            .map(|(client, some)| {
                tokio::spawn(batch::stream(client, some.to_vec(), until, Arc::clone(&errors)))
            })
            .collect()
    } else {
        let clients = clients.into_iter().cycle().zip(requests);
        clients
            .map(|(client, request)| tokio::spawn(caller(client, request, until, Arc::clone(&errors))))
            .collect()
    };
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await??);
    }
    let took = started.elapsed();
    latencies.sort_unstable();
    Ok(figures(args, &latencies, took, errors.load(Ordering::Relaxed)))
}

async fn connect(args: &Args) -> Result<Client, Failed> {
    let read = |name: &str| std::fs::read_to_string(args.credentials.join(name));
    let (anchors, chain, key, place) =
        (read("bundle.pem")?, read("chain.pem")?, read("key.pem")?, read("client.toml")?);
    let place: toml::Table = place.parse()?;
    let server = place.get("server").and_then(toml::Value::as_str).ok_or("client.toml names no server")?;
    Ok(Client::connect(server, &Credentials { anchors: &anchors, chain: &chain, key: &key }).await?)
}

/// What one caller asks for: one agent, one key.
fn request(args: &Args, number: usize) -> Result<IssueCertificateRequest, Failed> {
    let key = rcgen::KeyPair::generate()?;
    let csr = rcgen::CertificateParams::default().serialize_request(&key)?.der().to_vec();
    Ok(IssueCertificateRequest {
        agent: format!("agents/{}/{number}", args.prefix),
        csr,
        description: Some(Agent::default()),
        allow_missing: true,
        ..IssueCertificateRequest::default()
    })
}

/// One caller: one request after the other. The latencies of those that succeeded.
async fn caller(
    client: Client,
    request: IssueCertificateRequest,
    until: Instant,
    errors: Arc<AtomicU64>,
) -> Result<Vec<Duration>, Failed> {
    let mut issuance = client.issuance();
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let asked = Instant::now();
        match issuance.issue_certificate(request.clone()).await {
            Ok(_) => latencies.push(asked.elapsed()),
            // The first tells more than the count.
            Err(status) if errors.fetch_add(1, Ordering::Relaxed) == 0 => tell(&status.to_string()),
            Err(_) => {}
        }
    }
    Ok(latencies)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn figures(args: &Args, latencies: &[Duration], took: Duration, errors: u64) -> serde_json::Value {
    let at = |percent: usize| {
        let index = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
        latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    };
    serde_json::json!({
        "connections": args.connections,
        "in_flight": args.in_flight,
        "batch": args.batch,
        "seconds": took.as_secs_f64(),
        "certificates": latencies.len(),
        "errors": errors,
        "per_s": latencies.len() as f64 / took.as_secs_f64(),
        "p50_ms": at(50),
        "p99_ms": at(99),
    })
}
