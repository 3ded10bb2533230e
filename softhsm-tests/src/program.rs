//! The program under test, run as a user runs it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One way to run the program: its directories, its clock, its environment.
#[derive(Clone, Debug)]
pub struct Program {
    binary: PathBuf,
    home: PathBuf,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Standard output of a run that succeeded.
    ///
    /// # Panics
    /// It did not.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "failed\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard error of a run that failed with this code.
    ///
    /// # Panics
    /// It ended otherwise.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(
            self.code, code,
            "ended otherwise\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout, self.stderr
        );
        self.stderr
    }

    /// The JSON on standard output of a run that succeeded.
    ///
    /// # Panics
    /// It did not succeed, or that is no JSON.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).expect("JSON on standard output")
    }
}

impl Program {
    /// The program with `home` as the only place that it knows: data, officer's and user's directories are below it.
    pub fn new(binary: &str, home: &Path) -> Self {
        let at = |name: &str| home.join(name).display().to_string();
        let environment = vec![
            ("HOME".to_owned(), at("home")),
            ("XDG_DATA_HOME".to_owned(), at("share")),
            ("XDG_CONFIG_HOME".to_owned(), at("config")),
            ("XDG_STATE_HOME".to_owned(), at("state")),
            ("ROOTCELLAR_TEST_CLOCK".to_owned(), at("clock")),
            ("ROOTCELLAR_TEST_KILL".to_owned(), at("kill")),
            ("ROOTCELLAR_TEST_RANDOM".to_owned(), at("random-stuck")),
            ("NO_COLOR".to_owned(), "1".to_owned()),
        ];
        Self { binary: binary.into(), home: home.to_owned(), environment, wrapper: Vec::new() }
    }

    /// The directory that everything is below.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Adds a variable to the environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Has another program start it: `wrapper`, then the program and its arguments.
    pub fn wrap(&mut self, wrapper: &[&str]) {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
    }

    /// Another program in the same surroundings, not yet started.
    ///
    /// # Panics
    /// No program is named.
    pub fn other(&self, arguments: &[&str]) -> Command {
        let (program, arguments) = arguments.split_first().expect("a program");
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments).stdin(Stdio::null()).current_dir(&self.home);
        command
    }

    /// A command with these arguments, not yet started.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = match self.wrapper.split_first() {
            Some((wrapper, first)) => {
                let mut command = Command::new(wrapper);
                command.args(first).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments).stdin(Stdio::null()).current_dir(&self.home);
        command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Outcome {
        let output = self.command(arguments).output().expect("the program under test starts");
        Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// What cargo built beside the program that runs now: in `target/debug`, where a test itself is in `target/debug/deps`.
///
/// # Panics
/// It is not built.
pub fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a program has a path");
    let found = own.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: `make test` builds it (cargo build --workspace)"))
}
