//! The token alone: signatures by the issuing key as the keeper makes them, one session a thread, the key's handle kept.
//!
//! A module reads its environment when it is loaded, so that a process of its own does it: this program, started again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use certs::Issuer;
use hsm_config::{PinGuard, PinSource, Profile, Token, TokenConfig, TokenUri};

use crate::Failed;
use crate::cells::Served;
use crate::cpu::{median, micros, spent};
use crate::plan::Plan;
use crate::summary::Summary;

/// What the second process is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct Ask {
    /// The service's data directory
    #[arg(long)]
    data: PathBuf,
    /// A chain whose second certificate is the issuer's
    #[arg(long)]
    chain: PathBuf,
    /// The module, where it is not the profile's own
    #[arg(long)]
    module: Option<PathBuf>,
    /// Threads
    #[arg(long)]
    threads: usize,
    /// Milliseconds
    #[arg(long)]
    time_ms: u64,
}

/// What it answers.
pub(crate) struct Raw {
    /// Signatures in a second.
    pub(crate) per_s: f64,
    /// CPU time of one, in microseconds.
    cpu_us: f64,
}

pub(crate) fn measure(plan: &Plan, served: &Served, summary: &mut Summary) -> Result<(), Failed> {
    let cores = thread::available_parallelism()?.get();
    let rounds =
        (0..plan.rounds).map(|_| Ok((raw(served, plan, cores)?.per_s, raw(served, plan, 1)?.cpu_us)));
    let (rates, costs): (Vec<f64>, Vec<f64>) =
        rounds.collect::<Result<Vec<_>, Failed>>()?.into_iter().unzip();
    summary.set("token_raw_per_s", median(rates));
    summary.set("sign_us", median(costs));
    Ok(())
}

/// Has the token of this cell sign for a while.
pub(crate) fn raw(served: &Served, plan: &Plan, threads: usize) -> Result<Raw, Failed> {
    let data = served.data_dir();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("token").arg("--data").arg(&data);
    command.arg("--chain").arg(served.credentials("load").join("chain.pem"));
    command.args(["--threads", &threads.to_string(), "--time-ms", &plan.short.as_millis().to_string()]);
    command.env("SOFTHSM2_CONF", data.join("token/softhsm2.conf"));
    if let Some((module, environment)) = served.module() {
        command.arg("--module").arg(module).envs(environment);
    }
    let output = command.stdin(std::process::Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!("the token alone: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let read = |key: &str| answer.get(key).and_then(serde_json::Value::as_f64).ok_or("no figure");
    Ok(Raw { per_s: read("per_s")?, cpu_us: read("cpu_us")? })
}

/// In the second process: signs, and says how much.
///
/// # Errors
/// The token's.
pub fn answer(ask: &Ask) -> Result<serde_json::Value, Failed> {
    let dir = ask.data.join("token");
    let profile = Profile::load("softhsm2")?;
    let config = TokenConfig {
        uri: TokenUri::with_label("rootcellar-issuing")?,
        profile: match &ask.module {
            Some(module) => profile.with_module(module.clone()),
            None => profile,
        },
        pin: PinSource::File(dir.join("pin")),
        dir,
    };
    let (token, spki) = (config.open()?, issuer_spki(&ask.chain)?);
    let _login = token.login(&config.pin.read()?, &PinGuard::new(&ask.data))?;
    let (before, began) = (spent(), Instant::now());
    let until = began + Duration::from_millis(ask.time_ms);
    let counts: Vec<Result<u32, String>> = thread::scope(|scope| {
        let signers: Vec<_> = (0..ask.threads).map(|_| scope.spawn(|| sign(&token, &spki, until))).collect();
        let joined = |signer: thread::ScopedJoinHandle<'_, Result<u32, Failed>>| match signer.join() {
            Ok(count) => count.map_err(|error| error.to_string()),
            Err(_) => Err("a thread that signs panicked".into()),
        };
        signers.into_iter().map(joined).collect()
    });
    let (took, cost) = (began.elapsed(), spent().saturating_sub(before));
    let signed: u32 = counts.into_iter().sum::<Result<u32, String>>()?;
    Ok(serde_json::json!({
        "per_s": f64::from(signed) / took.as_secs_f64(),
        "cpu_us": micros(cost, signed),
    }))
}

fn sign(token: &Token, spki: &[u8], until: Instant) -> Result<u32, Failed> {
    // As long as the bytes of a common certificate.
    let (session, mut message, mut signed) = (token.session()?, [0x73; 420], 0_u32);
    let key = session.find_key(spki)?.key;
    while Instant::now() < until {
        message[..4].copy_from_slice(&signed.to_be_bytes());
        session.sign(&key, &message)?;
        signed += 1;
    }
    Ok(signed)
}

fn issuer_spki(chain: &Path) -> Result<Vec<u8>, Failed> {
    let chain = pem::parse_many(fs::read(chain)?)?;
    let issuer = chain.get(1).ok_or("the chain has no issuer")?;
    Ok(Issuer::parse(issuer.contents())?.public_key().spki_der().to_vec())
}
