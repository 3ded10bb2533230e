//! A cell of its own for one test, and its service while it runs.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use client::Client;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use tonic::transport::Endpoint;

use crate::credentials::Credentials;
use crate::program::{Outcome, Program};

/// A cell: its directories below a temporary one that goes with it.
#[derive(Debug)]
pub struct Cell {
    program: Program,
    home: TempDir,
}

/// How long a service may take until it is ready.
const READY: Duration = Duration::from_secs(60);

/// Its service, running. Ended when dropped.
#[derive(Debug)]
pub struct Serving {
    supervisor: Child,
    log: PathBuf,
    lines: Receiver<String>,
    /// Where gRPC listens: "https://localhost:PORT".
    pub server: String,
    /// Port of gRPC.
    pub port: u16,
    /// Where operations listen: "127.0.0.1:PORT".
    pub ops: String,
    /// Where CRLs are handed out; empty where they are not.
    pub crl: String,
    /// The local socket.
    pub socket: PathBuf,
}

impl Cell {
    /// Directories without a cell in them. `binary` is `env!("CARGO_BIN_EXE_rootcellar-under-test")`.
    ///
    /// # Panics
    /// The disk's, or there is no SoftHSM2.
    pub fn empty(binary: &str) -> Self {
        assert!(
            Path::new("/usr/lib/softhsm/libsofthsm2.so").exists(),
            "there is no SoftHSM2: `make test` installs it (apt-get install softhsm2)"
        );
        let home = tempfile::tempdir().expect("a temporary directory");
        let cell = Self { program: Program::new(binary, home.path()), home };
        fs::create_dir_all(cell.data_dir().parent().expect("it has a parent")).expect("a directory");
        cell.configure("");
        cell
    }

    /// A cell founded by `rootcellar init`.
    ///
    /// # Panics
    /// It cannot be founded.
    pub fn founded(binary: &str) -> Self {
        let cell = Self::empty(binary);
        cell.run(&["init"]).ok();
        cell
    }

    /// Writes the configuration: free ports, and what the test adds.
    ///
    /// # Panics
    /// The disk's.
    pub fn configure(&self, more: &str) {
        let service = "[service]\nlisten = \"127.0.0.1:0\"\nops-listen = \"127.0.0.1:0\"\n";
        let text = if more.contains("[service]") { more.to_owned() } else { format!("{service}{more}") };
        fs::write(self.config_file(), text).expect("the configuration is written");
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.home.path().join("rootcellar.toml")
    }

    /// The service's directory.
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("share/rootcellar")
    }

    /// The officer's directory.
    pub fn officer_dir(&self) -> PathBuf {
        self.home.path().join("config/rootcellar/officer")
    }

    /// A path below the cell's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The program, for a test that changes its environment.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Runs a command of the program with this cell's configuration.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let config = self.config_file().display().to_string();
        let all: Vec<&str> = ["--config", &config].into_iter().chain(arguments.iter().copied()).collect();
        self.program.run(&all)
    }

    /// Another program in this cell's directory and environment, its arguments behind its name, not yet started.
    ///
    /// # Panics
    /// No program is named.
    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        self.program.other(arguments)
    }

    /// Moves the time of every process of this cell, in milliseconds from the true time, as if it had passed.
    ///
    /// # Panics
    /// The disk's.
    pub fn set_clock(&self, offset_ms: i64) {
        self.jump_clock(offset_ms, 0);
    }

    /// The same, with a clock that is wrong by so many milliseconds.
    ///
    /// # Panics
    /// The disk's.
    pub fn jump_clock(&self, passed_ms: i64, wrong_by_ms: i64) {
        let beside = self.path("clock.new");
        fs::write(&beside, format!("{passed_ms} {wrong_by_ms}")).expect("the clock is written");
        fs::rename(beside, self.path("clock")).expect("the clock is written");
    }

    /// The clock of this cell's machine, in milliseconds since 1970, for its clients.
    pub fn clock(&self) -> client::Clock {
        let file = self.path("clock");
        Arc::new(move || {
            let moved = fs::read_to_string(&file).ok();
            let moved = moved.unwrap_or_default();
            let moved: i64 = moved.split_whitespace().filter_map(|part| part.parse::<i64>().ok()).sum();
            true_ms() + moved
        })
    }

    /// Starts the service and waits until it says that it is ready.
    ///
    /// # Panics
    /// It ends before.
    #[track_caller]
    pub fn serve(&self) -> Serving {
        self.try_serve()
            .unwrap_or_else(|outcome| panic!("it did not serve: {}\n{}", outcome.code, outcome.stderr))
    }

    /// Starts the service; the outcome where it ends before it is ready.
    ///
    /// # Errors
    /// How it ended.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn try_serve(&self) -> Result<Serving, Outcome> {
        let log = self.path("serve.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let config = self.config_file().display().to_string();
        let mut command = self.program.command(&["--config", &config, "--output", "json", "serve"]);
        let mut supervisor = command.stdout(Stdio::piped()).stderr(file).spawn().expect("the service starts");
        let output = BufReader::new(supervisor.stdout.take().expect("its output is piped"));
        let (sender, lines) = mpsc::channel();
        // Read to its end: whatever it says must not fill the pipe.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let (server, ops, crl) = (String::new(), String::new(), String::new());
        let mut serving =
            Serving { supervisor, log, lines, server, port: 0, ops, crl, socket: PathBuf::new() };
        if serving.next_ready() {
            return Ok(serving);
        }
        let (code, stderr) = (serving.wait(), serving.log());
        Err(Outcome { code, stdout: String::new(), stderr })
    }

    /// Registers a controller with these grants, at this service.
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn controller(&self, serving: &Serving, name: &str, grants: &[&str]) -> Credentials {
        let mut arguments = vec!["controller", "add", name];
        arguments.extend(grants.iter().flat_map(|grant| ["--grant", grant]));
        self.run(&arguments).ok();
        self.credentials(serving, name)
    }

    /// The credentials of a controller, for this service: its port is another after each start.
    ///
    /// # Panics
    /// There are none.
    pub fn credentials(&self, serving: &Serving, name: &str) -> Credentials {
        self.credentials_at(&serving.server, name)
    }

    /// The credentials of a controller, for the service at "https://localhost:PORT".
    ///
    /// # Panics
    /// There are none.
    pub fn credentials_at(&self, server: &str, name: &str) -> Credentials {
        let dir = self.home.path().join("config/rootcellar/controllers").join(name);
        let file = dir.join("client.toml");
        let text = fs::read_to_string(&file).expect("the credentials say where the service is");
        let others = text.lines().filter(|line| !line.starts_with("server"));
        let line = format!("server = \"{server}\"");
        let lines: Vec<&str> = std::iter::once(line.as_str()).chain(others).collect();
        fs::write(&file, lines.join("\n") + "\n").expect("the credentials can be written");
        Credentials::new(dir, server, self.clock())
    }
}

impl Serving {
    /// Waits until the front says that it is ready, again where it was started again, and takes its addresses. `false` when the
    /// service ended instead.
    ///
    /// # Panics
    /// Neither happens, or it says something else.
    pub fn next_ready(&mut self) -> bool {
        let line = match self.lines.recv_timeout(READY) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) => return false,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("neither ready nor ended\n{}", self.log()),
        };
        let ready: serde_json::Value = serde_json::from_str(&line).expect("it says where it listens");
        let text = |key: &str| ready[key].as_str().expect("an address").to_owned();
        self.port = text("mtls").rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        self.server = format!("https://localhost:{}", self.port);
        self.ops = text("ops");
        self.crl = ready["crl"].as_str().map(ToOwned::to_owned).unwrap_or_default();
        self.socket = text("socket").into();
        true
    }

    /// A client over the keeper's own socket.
    ///
    /// # Panics
    /// It does not answer.
    pub async fn local(&self) -> Client {
        let clock = Arc::new(true_ms);
        let stream = ca_service::connect_locally(&self.socket, clock).await.expect("the keeper listens");
        let mut stream = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_| {
            let stream = stream.take().ok_or_else(|| std::io::Error::other("one connection"));
            async move { stream }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        Client::over(endpoint.connect_with_connector(connector).await.expect("the local socket answers"))
    }

    /// Process id of the supervisor.
    pub fn pid(&self) -> u32 {
        self.supervisor.id()
    }

    /// Process id of the supervisor's child that runs this hidden command ("keeper", "front").
    ///
    /// # Panics
    /// There is none.
    pub fn child(&self, role: &str) -> u32 {
        self.find_child(role).unwrap_or_else(|| panic!("no child of role {role}"))
    }

    /// As [`Serving::child`], where it may be gone.
    pub fn find_child(&self, role: &str) -> Option<u32> {
        let children =
            fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid())).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.trim_end_matches('\0').rsplit('\0').next() == Some(role)
        })
    }

    /// Sends a signal to a process.
    ///
    /// # Panics
    /// There is no such process.
    pub fn signal(pid: u32, signal: Signal) {
        let pid = pid.try_into().ok().and_then(Pid::from_raw).expect("a process's number");
        rustix::process::kill_process(pid, signal)
            .unwrap_or_else(|error| panic!("{signal:?} to {pid:?}: {error}"));
    }

    /// What the service has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops it as an operator does, and returns its exit code.
    ///
    /// # Panics
    /// It cannot be waited for.
    pub fn stop(&mut self) -> i32 {
        Self::signal(self.pid(), Signal::TERM);
        self.wait()
    }

    /// Its exit code, once it has ended.
    ///
    /// # Panics
    /// It cannot be waited for.
    pub fn ended(&mut self) -> Option<i32> {
        self.supervisor.try_wait().expect("it can be waited for").map(|status| status.code().unwrap_or(-1))
    }

    /// Waits until it ends by itself, and returns its exit code.
    ///
    /// # Panics
    /// It cannot be waited for.
    pub fn wait(&mut self) -> i32 {
        self.supervisor.wait().expect("it ends").code().unwrap_or(-1)
    }

    /// One request to the operations port: status line and body.
    ///
    /// # Panics
    /// It does not answer.
    pub fn ops_get(&self, path: &str) -> (String, String) {
        let (head, body) = http_get(&self.ops, path);
        (head, String::from_utf8(body).expect("a text"))
    }

    /// One request to where CRLs are handed out: status line and body.
    ///
    /// # Panics
    /// It does not answer.
    pub fn crl_get(&self, path: &str) -> (String, Vec<u8>) {
        http_get(&self.crl, path)
    }
}

fn http_get(address: &str, path: &str) -> (String, Vec<u8>) {
    use std::io::Write as _;
    let mut stream = std::net::TcpStream::connect(address).expect("the port answers");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("it answers");
    let end = said.windows(4).position(|window| window == b"\r\n\r\n").expect("an HTTP answer");
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    (head.lines().next().unwrap_or_default().to_owned(), said[end + 4..].to_vec())
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Ok(None) = self.supervisor.try_wait() {
            // Its children see its end on their sockets and end too.
            let _ = self.supervisor.kill();
            let _ = self.supervisor.wait();
        }
    }
}

/// Milliseconds since 1970 by the machine's clock.
fn true_ms() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}
