//! The sources of random numbers, each tested on its own before anything is drawn from it (SP 800-90B §4.3, §4.4).

use hsm_config::health::{START_UP, examine};

use super::{ExecuteError, Execution, internal};
use crate::host::{HostError, TokenHost};
use crate::record::Event;

/// What the record calls the operating system's source.
const SYSTEM: &str = "system";

impl<Open: FnMut(&str) -> Result<Option<TokenHost>, HostError>> Execution<'_, Open> {
    /// Tests the operating system's source, once in an execution.
    pub(super) fn test_system(&mut self) -> Result<(), ExecuteError> {
        if std::mem::replace(&mut self.system_tested, true) {
            return Ok(());
        }
        self.test_source(SYSTEM, || {
            let mut samples = vec![0u8; START_UP];
            getrandom::fill(&mut samples).map_err(|_| ExecuteError::NoRandom)?;
            Ok(samples)
        })
    }

    /// Tests a source. One failure may be chance, and is followed by another test; a second one is not.
    pub(super) fn test_source(
        &mut self,
        source: &str,
        mut draw: impl FnMut() -> Result<Vec<u8>, ExecuteError>,
    ) -> Result<(), ExecuteError> {
        let mut test = || {
            let samples: Box<[u8; START_UP]> =
                draw()?.try_into().map_err(|_| internal("fewer random octets than were asked for"))?;
            Ok::<_, ExecuteError>(examine(&samples))
        };
        let mut report = test()?;
        if report.flaw.is_some() {
            report = test()?;
        }
        if let Some(flaw) = report.flaw {
            return Err(ExecuteError::Entropy { source_name: source.to_owned(), flaw });
        }
        self.write(Event::Entropy {
            source: source.to_owned(),
            samples: report.samples,
            longest_run: report.longest_run,
            most_in_window: report.most_in_window,
        })
    }
}
