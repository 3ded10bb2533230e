//! Throw-away cells: founded, served, asked, stopped, gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use softhsm_tests::{Cell, Faults, Serving, built};

use crate::Failed;
use crate::cpu::spent_by;
use crate::load::{Figures, Load};

/// What the controllers of a cell may ask for: their own agents, without a budget that a run could spend.
const GRANT: &str = "ttl=1h;budget=10000000";
/// The controller that the load is.
const LOAD: &str = "load";
/// SoftHSM2, where the harness wants it.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The profile that a slowed token's is made from.
const SOFTHSM2: &str = include_str!("../../hsm-config/profiles/softhsm2.toml");

/// A cell with its service running, and the credentials of the controller "load".
pub(crate) struct Served {
    // Dropped, and so ended, before its directory.
    serving: Running,
    cell: Cell,
    /// Whether the fault-injecting module stands before its token.
    faulty: bool,
}

/// A service that ends as an operator ends it, also where a run is given up: what is killed may still write where its directory goes.
struct Running(Serving);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.ended().is_none() {
            self.0.stop();
        }
    }
}

impl Served {
    /// Founds a cell with SoftHSM2 and serves it.
    pub(crate) fn found() -> Self {
        Self::found_with(&built("rootcellar"))
    }

    /// The same with another build of the program.
    pub(crate) fn found_with(program: &Path) -> Self {
        let cell = Cell::empty(&program.display().to_string());
        cell.configure(BUSY);
        Self::founded(cell, false)
    }

    /// The same with a token that signs with `sessions` at a time, and may be slowed.
    pub(crate) fn with_faults(sessions: u16) -> Result<(Self, Faults), Failed> {
        let mut cell = Cell::empty(&binary());
        let faults = Faults::between(&mut cell);
        let profile = cell.path("slow.toml");
        fs::write(&profile, SOFTHSM2.replace("\nsessions = 0\n", &format!("\nsessions = {sessions}\n")))?;
        let configured = fs::read_to_string(cell.config_file())?;
        cell.configure(&format!("{configured}profile = \"{}\"\n{BUSY}", profile.display()));
        Ok((Self::founded(cell, true), faults))
    }

    fn founded(cell: Cell, faulty: bool) -> Self {
        cell.run(&["init"]).ok();
        let served = Self { serving: Running(cell.serve()), cell, faulty };
        served.add_controller(LOAD);
        served
    }

    /// Serves a cell that was stopped; and how long it took until it was ready.
    pub(crate) fn again(cell: Cell) -> (Self, Duration) {
        let began = Instant::now();
        let serving = Running(cell.serve());
        (Self { serving, cell, faulty: false }, began.elapsed())
    }

    /// Registers a controller for the agents `<name>/…`.
    pub(crate) fn add_controller(&self, name: &str) {
        self.cell.controller(&self.serving.0, name, &[&format!("agents={name}/*;{GRANT}")]);
    }

    /// The directory of a controller's credentials.
    pub(crate) fn credentials(&self, controller: &str) -> PathBuf {
        self.cell.credentials(&self.serving.0, controller).dir().to_owned()
    }

    /// The service's directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.cell.data_dir()
    }

    /// The module before its token, where there is one, and the environment that it wants.
    pub(crate) fn module(&self) -> Option<(PathBuf, [(&'static str, PathBuf); 2])> {
        let environment = [("FAULT_MODULE", PathBuf::from(MODULE)), ("FAULT_DIR", self.cell.path("faults"))];
        self.faulty.then(|| (built("librootcellar_fault_module.so"), environment))
    }

    /// Stops it as an operator does.
    ///
    /// # Errors
    /// It did not end well.
    pub(crate) fn stop(mut self) -> Result<Cell, Failed> {
        match self.serving.0.stop() {
            0 => Ok(self.cell),
            code => Err(format!("the service ended with {code}\n{}", self.serving.0.log()).into()),
        }
    }

    /// Asks as the controller "load".
    ///
    /// # Errors
    /// A request was refused: then the figures would say nothing.
    pub(crate) async fn load(&self, load: Load) -> Result<Figures, Failed> {
        let figures = load.run(&self.credentials(LOAD), LOAD).await?;
        match &figures.first_error {
            Some(first) => Err(format!("{} requests were refused: {first}", figures.errors).into()),
            None if figures.samples.is_empty() => Err("nothing was issued".into()),
            None => Ok(figures),
        }
    }

    /// Runs a command as the operator and officer of this cell.
    ///
    /// # Errors
    /// It failed.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<(), Failed> {
        let outcome = self.cell.run(arguments);
        if outcome.code == 0 { Ok(()) } else { Err(outcome.stderr.into()) }
    }

    /// Status line and body of a page of the port for operations.
    pub(crate) fn ops_get(&self, path: &str) -> (String, String) {
        self.serving.0.ops_get(path)
    }

    /// CPU time of a process of the service ("keeper", "front").
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn spent_by(&self, role: &str) -> Result<Duration, Failed> {
        spent_by(self.serving.0.child(role))
    }

    /// A number of the page of metrics: the line that begins with `name` and its labels.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn metric(&self, name: &str) -> Result<f64, Failed> {
        let (_, page) = self.serving.0.ops_get("/metrics");
        let value =
            page.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name}"))?;
        Ok(value.trim().parse()?)
    }

    /// Resident memory of a process of the service, in MiB.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn resident_mib(&self, role: &str) -> Result<f64, Failed> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.serving.0.child(role)))?;
        // proc_pid_status(5): "VmRSS:  12345 kB".
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

/// The log without a line for each request, as a busy service has it; and one caller who may ask as often and over as many
/// connections as it can.
const BUSY: &str =
    "[log]\nlevel = \"warn\"\n[limits]\nrequests-per-controller = 1000000\nconnections-per-caller = 2048\n";

/// The product's program, beside this one.
fn binary() -> String {
    built("rootcellar").display().to_string()
}

/// Whether a directory is on a file system in memory, where a commit waits for nothing.
pub(crate) fn is_in_memory(dir: &Path) -> Result<bool, Failed> {
    /// statfs(2), TMPFS_MAGIC.
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    #[allow(
        clippy::unnecessary_fallible_conversions,
        clippy::useless_conversion,
        reason = "the type differs between machines"
    )]
    let kind = i64::try_from(rustix::fs::statfs(dir)?.f_type)?;
    Ok(kind == TMPFS_MAGIC)
}
