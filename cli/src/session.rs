//! What every command has at hand: the global flags, the configuration, the time, the output.

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::process::Command;

use sys::durable;
use tracing::Level;

use crate::config::{Config, ConfigError, LogFormat, Places};
use crate::error::{Exit, Failure};
use crate::globals::Globals;
use crate::logging;
use crate::output::Output;
use crate::{Clock, Probe, Surroundings};

/// One command's surroundings.
pub(crate) struct Session {
    globals: Globals,
    surroundings: Surroundings,
    output: Output,
}

impl Session {
    pub(crate) fn new(globals: Globals, surroundings: Surroundings) -> Self {
        let output = Output::new(globals.output, (surroundings.clock)());
        Self { globals, surroundings, output }
    }

    /// Starts the log of a command for people: warnings, and with `-v` more. A service starts its own instead.
    pub(crate) fn start_quiet_log(&self) {
        let level = match self.globals.verbose {
            0 => Level::WARN,
            1 => Level::INFO,
            2 => Level::DEBUG,
            _ => Level::TRACE,
        };
        logging::start(level, LogFormat::Text);
    }

    /// How often `-v` was given.
    pub(crate) fn verbose(&self) -> u8 {
        self.globals.verbose
    }

    /// Where things are, from flags and environment.
    ///
    /// # Errors
    /// No directory is named and there is no home directory.
    pub(crate) fn places(&self) -> Result<Places, ConfigError> {
        let Globals { data_dir, officer_dir, .. } = &self.globals;
        Places::new(data_dir.as_deref(), officer_dir.as_deref(), |name| std::env::var_os(name))
    }

    /// The configuration file: the one named, or the data directory's where there is one.
    pub(crate) fn config_file(&self, places: &Places) -> Option<PathBuf> {
        let usual = places.data().join("rootcellar.toml");
        self.globals.config.clone().or_else(|| usual.exists().then_some(usual))
    }

    /// The configuration in force.
    ///
    /// # Errors
    /// Every problem of the file together.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let places = self.places()?;
        Config::load(self.config_file(&places).as_deref(), places)
    }

    /// The configuration of a service: no other user but root can change its file.
    ///
    /// # Errors
    /// As [`Session::config`], or others can change it.
    pub(crate) fn config_of_service(&self) -> Result<Config, Failure> {
        let places = self.places()?;
        let Some(file) = self.config_file(&places) else { return Ok(self.config()?) };
        match durable::unexposed(&file) {
            Ok(Ok(file)) => Ok(Config::load(Some(&file), places)?),
            Ok(Err(durable::Exposed(part))) => {
                let part = part.display();
                let message = format!("{part} can be changed by others, and says what a service loads");
                Err(Failure::new("EXPOSED", message)
                    .ending(Exit::Configuration)
                    .mended_by(format!("chmod go-w {part}; where another user owns it, chown root {part}")))
            }
            // A file that is not there is what `config` says it is.
            Err(_) => Ok(self.config()?),
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) fn now_ms(&self) -> i64 {
        (self.surroundings.clock)()
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub(crate) fn now_secs(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }

    /// The clock, for what outlives the command's own thread.
    pub(crate) fn clock(&self) -> Clock {
        Clock::clone(&self.surroundings.clock)
    }

    /// All of what this process was given, for the keeper.
    pub(crate) fn surroundings(&self) -> Surroundings {
        self.surroundings.clone()
    }

    /// What is told of numbered steps.
    pub(crate) fn probe(&self) -> Probe {
        Probe::clone(&self.surroundings.probe)
    }

    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    /// Runs what waits for the network, on this thread.
    ///
    /// # Errors
    /// What the future says, or the system has no more descriptors.
    #[expect(clippy::unused_self, reason = "a command has a session, and nothing else to wait with")]
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| Failure::new("RUNTIME", error))?.block_on(future)
    }

    /// This program again, with the same configuration and directories, and with `environment` added: a PKCS#11 module reads its
    /// environment when it is initialised, so that one module environment takes one process.
    ///
    /// # Errors
    /// The program cannot find itself, or no directory is named.
    pub(crate) fn again(&self, environment: &[(String, String)]) -> Result<Command, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::new("RUNTIME", error))?;
        let places = self.places()?;
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(places.data()).arg("--officer-dir").arg(places.officer());
        if let Some(file) = self.config_file(&places) {
            command.arg("--config").arg(file);
        }
        command.args(std::iter::repeat_n(OsString::from("-v"), self.globals.verbose.into()));
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}
