//! The sources of random numbers, each tested on its own before anything is drawn from it (SP 800-90B §4.3, §4.4).

use hsm_config::health::{Report, START_UP, examine};
use keeper::Random;

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
        let random = Random::clone(&self.ground.random);
        self.test_source(SYSTEM, || {
            let mut samples = vec![0u8; START_UP];
            random(&mut samples).map_err(|_| ExecuteError::NoRandom)?;
            Ok(samples)
        })
    }

    /// Tests a source. One failure may be chance, and is followed by another test; a second one is not. That two draws are the same is
    /// chance once in 2^8192: a generator that gives the same octets again passes the other tests (FIPS 140-2 §4.9.2).
    pub(super) fn test_source(
        &mut self,
        source: &str,
        mut draw: impl FnMut() -> Result<Vec<u8>, ExecuteError>,
    ) -> Result<(), ExecuteError> {
        let mut report = test(draw()?)?;
        if let Some(flaw) = report.flaw {
            self.failed(source, &report, &flaw)?;
            report = test(draw()?)?;
        }
        let failed = |flaw: String| ExecuteError::Entropy { source_name: source.to_owned(), flaw };
        if let Some(flaw) = report.flaw {
            self.failed(source, &report, &flaw)?;
            return Err(failed(flaw.to_string()));
        }
        if draw()? == draw()? {
            let flaw = "two draws brought the same octets";
            self.failed(source, &report, &flaw)?;
            return Err(failed(flaw.into()));
        }
        self.write(Event::Entropy {
            source: source.to_owned(),
            samples: report.samples,
            longest_run: report.longest_run,
            most_in_window: report.most_in_window,
        })
    }

    /// A test that failed is told, also where the next one passes.
    fn failed(
        &mut self,
        source: &str,
        report: &Report,
        flaw: &dyn std::fmt::Display,
    ) -> Result<(), ExecuteError> {
        let (source, flaw) = (source.to_owned(), flaw.to_string());
        self.write(Event::EntropyFailed { source, samples: report.samples, flaw })
    }
}

fn test(samples: Vec<u8>) -> Result<Report, ExecuteError> {
    let samples: Box<[u8; START_UP]> =
        samples.try_into().map_err(|_| internal("fewer random octets than were asked for"))?;
    Ok(examine(&samples))
}
