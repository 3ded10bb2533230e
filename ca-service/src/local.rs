//! The services over the keeper's own socket, in the process that uses them: no front is between.

use std::{io, os::unix::net::UnixStream, path::Path, sync::Arc};

use tokio::{
    io::{DuplexStream, duplex},
    sync::watch,
};

use crate::{
    Clock, Keeper, Limits, call::Desk, connection::App, metrics::Metrics, rate::Callers, services,
    shares::Shares, steps::Caller,
};

/// Bytes that are under way between the two ends in this process.
const PIPE: usize = 256 * 1024;

/// Connects to the keeper's own socket: a stream on which the services of `rootcellar.v1` answer, for one gRPC channel. They answer until the
/// stream is dropped, on the runtime that this is called on.
///
/// # Errors
/// The keeper does not listen there.
pub async fn connect(socket: &Path, clock: Clock) -> io::Result<DuplexStream> {
    let door = UnixStream::connect(socket)?;
    let limits = Arc::new(Limits::default());
    let keeper = Keeper::new(limits.in_flight);
    let desk = Desk {
        keeper: keeper.clone(),
        clock,
        probe: Arc::new(|_step| {}),
        limits: Arc::clone(&limits),
        callers: Arc::new(Callers::new(&limits)),
        shares: Shares::new(&limits),
        looks: Arc::default(),
        gone: Arc::default(),
        metrics: Metrics::new(),
    };
    let (_, health) = tonic_health::server::health_reporter();
    let routes = services::routes(&desk, health, limits.message_bytes).map_err(io::Error::other)?;
    let app = Arc::new(App::new(desk, routes));
    let (near, far) = duplex(PIPE);
    let caller = Caller::local(rustix::process::getuid().as_raw());
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        // Held, so that it does not stop.
        let _stop = stop;
        tokio::select! {
            () = app.serve(far, (caller, None), stopping) => {}
            () = keeper.serve_one(door) => {}
        }
    });
    Ok(near)
}
