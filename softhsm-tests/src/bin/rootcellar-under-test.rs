//! The `rootcellar` program with a clock that a test sets: `ROOTCELLAR_TEST_CLOCK` names a file with the milliseconds to add to the time.
//! No build of the product holds this file.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let offset = std::env::var_os("ROOTCELLAR_TEST_CLOCK");
    cli::main(
        std::env::args_os(),
        Arc::new(move || {
            #[expect(clippy::disallowed_methods, reason = "the one place where this program reads the clock")]
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
            let added = offset.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
            let added: i64 = added.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
            i64::try_from(now).unwrap_or(i64::MAX).saturating_add(added)
        }),
    )
}
