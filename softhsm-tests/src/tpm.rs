//! A TPM 2.0 of one test: swtpm, tpm2-abrmd as its resource manager, and a D-Bus of their own between it and tpm2-pkcs11.
//!
//! Unix sockets below the test's directory, no port and no system service. The bus starts the resource manager when it is first called, and
//! takes it along when it ends.
//!
//! Why a resource manager: `init`, the keeper and a command each load keys, a TPM has room for three objects, and a process that is killed
//! leaves its own there. Where there is a real TPM, the kernel's /dev/tpmrm0 does that work.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cell::Cell;

/// How long swtpm may take until it listens, and the resource manager until it answers.
const ANSWERS: Duration = Duration::from_secs(20);

/// Where tpm2-pkcs11's module may lie, as its profile has it.
const MODULES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1",
    "/usr/lib/aarch64-linux-gnu/libtpm2_pkcs11.so.1",
    "/usr/lib64/pkcs11/libtpm2_pkcs11.so",
];

/// Ended when dropped.
#[derive(Debug)]
pub struct Tpm {
    bus: Child,
    swtpm: Child,
    dir: PathBuf,
}

impl Tpm {
    /// A new TPM, and `cell`'s service with its token in it. Before the cell is founded.
    ///
    /// # Panics
    /// A program is missing, or does not start.
    pub fn of(cell: &mut Cell) -> Self {
        let tpm = Self::start(&cell.path("tpm"));
        cell.configure("[token]\nprofile = \"tpm2\"\nlog-key = \"p256\"\n");
        for (name, value) in tpm.environment() {
            cell.program().set(&name, &value);
        }
        tpm
    }

    /// A new TPM, with its state and sockets in `dir`, which is made.
    ///
    /// # Panics
    /// A program is missing, or does not start.
    pub fn start(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("state")).expect("a directory");
        let swtpm = swtpm(dir);
        let tpm = Self { bus: bus(dir), swtpm, dir: dir.to_owned() };
        tpm.wait_for_manager();
        tpm
    }

    /// Takes the power from it, and gives it back: what was loaded is gone, the keys are not.
    ///
    /// # Panics
    /// A program does not start.
    pub fn reset(&mut self) {
        self.stop();
        for socket in ["bus", "tpm", "tpm.ctrl"] {
            let _ = fs::remove_file(self.dir.join(socket));
        }
        (self.swtpm, self.bus) = (swtpm(&self.dir), bus(&self.dir));
        self.wait_for_manager();
    }

    fn stop(&mut self) {
        for process in [&mut self.bus, &mut self.swtpm] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The PKCS#11 module before it.
    ///
    /// # Panics
    /// There is none.
    pub fn module() -> &'static str {
        let found = MODULES.into_iter().find(|path| Path::new(path).exists());
        found.expect("there is no tpm2-pkcs11: `make test` installs it (apt-get install libtpm2-pkcs11-1)")
    }

    /// Names and values of what a process needs in its environment to reach it.
    pub fn environment(&self) -> [(String, String); 2] {
        [
            ("TPM2_PKCS11_TCTI".to_owned(), "tabrmd:bus_type=session".to_owned()),
            ("DBUS_SESSION_BUS_ADDRESS".to_owned(), format!("unix:path={}", self.dir.join("bus").display())),
        ]
    }

    /// Calls the resource manager until it answers. tpm2-abrmd 3.0 takes its name on the bus before it has its object there, so that a
    /// module that comes in between is refused.
    fn wait_for_manager(&self) {
        let began = Instant::now();
        let mut call = Command::new("dbus-send");
        call.arg(format!("--bus=unix:path={}", self.dir.join("bus").display()));
        call.args(["--print-reply", "--dest=com.intel.tss2.Tabrmd", "/com/intel/tss2/Tabrmd/Tcti"]);
        call.arg("org.freedesktop.DBus.Introspectable.Introspect");
        loop {
            let answer = call
                .output()
                .expect("there is no dbus-send: `make test` installs it (apt-get install dbus-bin)");
            if String::from_utf8_lossy(&answer.stdout).contains("CreateConnection") {
                return;
            }
            let said = || fs::read_to_string(self.dir.join("bus.log")).unwrap_or_default();
            assert!(began.elapsed() < ANSWERS, "tpm2-abrmd does not answer: {}", said());
        }
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.stop();
    }
}

fn swtpm(dir: &Path) -> Child {
    let (state, server, control) = (dir.join("state"), dir.join("tpm"), dir.join("tpm.ctrl"));
    let said = fs::File::create(dir.join("swtpm.log")).expect("a log file");
    let mut swtpm = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .args(["--tpmstate", &format!("dir={}", state.display())])
        .args(["--server", &format!("type=unixio,path={}", server.display())])
        // Where tss2 looks for it: beside the other.
        .args(["--ctrl", &format!("type=unixio,path={}", control.display())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .expect("there is no swtpm: `make test` installs it (apt-get install swtpm)");
    let began = Instant::now();
    while UnixStream::connect(&server).is_err() {
        let ended = swtpm.try_wait().expect("it can be waited for");
        let said = || fs::read_to_string(dir.join("swtpm.log")).unwrap_or_default();
        assert!(ended.is_none() && began.elapsed() < ANSWERS, "swtpm does not listen: {}", said());
        std::thread::yield_now();
    }
    swtpm
}

fn bus(dir: &Path) -> Child {
    let at = dir.display();
    let own = format!(
        "<busconfig><type>session</type><listen>unix:path={at}/bus</listen><auth>EXTERNAL</auth>\
         <servicedir>{at}</servicedir><policy context=\"default\"><allow send_destination=\"*\"/>\
         <allow receive_sender=\"*\"/><allow own=\"*\"/></policy></busconfig>"
    );
    fs::write(dir.join("bus.conf"), own).expect("the bus's configuration is written");
    // It refuses to run as root unless told otherwise. As few objects and sessions for each process as the kernel's resource manager has (Linux,
    // include/linux/tpm.h, struct tpm_space): what works here works there.
    let manager = format!(
        "[D-BUS Service]\nName=com.intel.tss2.Tabrmd\n\
         Exec={} --session --allow-root --max-transients=3 --max-sessions=3 --tcti=swtpm:path={at}/tpm\n",
        found("tpm2-abrmd").display()
    );
    fs::write(dir.join("com.intel.tss2.Tabrmd.service"), manager).expect("the service's file is written");
    let said = fs::File::create(dir.join("bus.log")).expect("a log file");
    let mut bus = Command::new("dbus-daemon")
        .args(["--nofork", "--nopidfile", "--print-address=1"])
        .arg(format!("--config-file={at}/bus.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(said)
        .spawn()
        .expect("there is no dbus-daemon: `make test` installs it (apt-get install dbus-daemon)");
    // It says where it listens once it does.
    let mut address = String::new();
    let output = bus.stdout.take().expect("its output is piped");
    BufReader::new(output).read_line(&mut address).expect("it can be read");
    assert!(address.starts_with("unix:path="), "the bus does not listen: {address}");
    bus
}

/// A program of the system's administrator, which a user's PATH need not have.
fn found(name: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"].map(|place| Path::new(place).join(name));
    let found = places.iter().find(|path| path.exists()).cloned();
    found.unwrap_or_else(|| panic!("there is no {name}: `make test` installs it (apt-get install {name})"))
}
