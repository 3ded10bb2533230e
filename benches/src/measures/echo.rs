//! An empty request over the same connections, which the front answers by itself: what gRPC and TLS cost on both sides.

use std::time::{Duration, Instant};

use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::Failed;
use crate::cells::Served;
use crate::cpu::{median, micros, spent};
use crate::load::channel;
use crate::plan::Plan;
use crate::summary::Summary;

/// As the load that it is held against.
const IN_FLIGHT: usize = 64;
const CONNECTIONS: usize = 4;

pub(crate) async fn measure(plan: &Plan, served: &Served, summary: &mut Summary) -> Result<(), Failed> {
    let credentials = served.credentials("load");
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(channel(&credentials).await?);
    }
    let (mut rates, mut server, mut client) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let (front, own, began) = (served.spent_by("front")?, spent(), Instant::now());
        let callers: Vec<_> = channels
            .iter()
            .cycle()
            .take(IN_FLIGHT)
            .map(|channel| tokio::spawn(call(channel.clone(), began + plan.short)))
            .collect();
        let mut calls = 0;
        for caller in callers {
            calls += caller.await??;
        }
        let took: Duration = began.elapsed();
        rates.push(f64::from(calls) / took.as_secs_f64());
        server.push(micros(served.spent_by("front")?.saturating_sub(front), calls));
        client.push(micros(spent().saturating_sub(own), calls));
    }
    summary.set("echo_per_s", median(rates));
    summary.set("rpc_server_us", median(server));
    summary.set("rpc_client_us", median(client));
    Ok(())
}

async fn call(channel: Channel, until: Instant) -> Result<u32, Failed> {
    let (mut health, mut calls) = (HealthClient::new(channel), 0);
    while Instant::now() < until {
        health.check(HealthCheckRequest::default()).await?;
        calls += 1;
    }
    Ok(calls)
}
