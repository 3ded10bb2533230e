//! The TLS of the mTLS port: 1.3 alone, a client certificate required, nothing resumed.

use std::{fmt, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::UnixTime,
    server::{NoServerSessionStorage, ResolvesServerCert},
    time_provider::TimeProvider,
    version::TLS13,
};

use crate::{Clock, bundle::Bundle};

/// The only protocol served (RFC 9113 §3.1).
const ALPN: &[u8] = b"h2";

/// Settings under these anchors; X25519MLKEM768 comes first among the key exchanges (crate feature `prefer-post-quantum`).
///
/// # Errors
/// Our bug: the provider has no TLS 1.3.
pub(crate) fn server_config(
    bundle: &Bundle,
    certificate: Arc<dyn ResolvesServerCert>,
    clock: &Clock,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let time = Arc::new(Time(Arc::clone(clock)));
    let mut config = ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(bundle.verifier())
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would skip the client's certificate (RFC 8446 §2.2): none is offered, none is kept.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// The time of the clock; none before 1970, so that every certificate is refused.
pub(crate) fn time_of(now_ms: i64) -> Option<UnixTime> {
    u64::try_from(now_ms).ok().map(|ms| UnixTime::since_unix_epoch(Duration::from_millis(ms)))
}

struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        time_of((self.0)())
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}
