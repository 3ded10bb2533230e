//! What is carried, moved or begun by others: links and pipes in a ceremony's directory, an officer's directory in another place, a founding
//! that goes on under another configuration.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use rootcellar_softhsm_tests::{Cell, Serving, Signal};

use crate::support::{BINARY, House, eventually};

/// A cell of one officer with another root planned and approved in `root-2`.
fn planned() -> Cell {
    let cell = Cell::founded(BINARY);
    cell.run(&["ceremony", "plan", "root", "--out", "root-2"]).ok();
    cell.run(&["ceremony", "approve", "--yes", "root-2"]).ok();
    cell
}

#[test]
fn nothing_is_written_through_a_link_in_a_ceremonys_directory() {
    let cell = planned();
    let pin = cell.officer_dir().join("root.pin");
    let (secret, precious) = (fs::read_to_string(&pin).unwrap(), cell.path("precious"));
    fs::write(&precious, "precious").unwrap();
    symlink(&pin, cell.path("root-2/record.jsonl")).unwrap();
    let said = cell.run(&["ceremony", "execute", "root-2"]).fails(1);
    assert!(said.contains("symbolic link"), "{said}");
    assert_eq!(fs::read_to_string(&pin).unwrap(), secret);
    fs::remove_file(cell.path("root-2/record.jsonl")).unwrap();
    symlink(&precious, cell.path("root-2/transcript.note.new")).unwrap();
    symlink(&precious, cell.path("root-2/transcript.new")).unwrap();
    cell.run(&["ceremony", "execute", "root-2"]).ok();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    // What is no record stays as it is, and the ceremony does not begin anew.
    let record = cell.path("root-2/record.jsonl");
    let text = fs::read_to_string(&record).unwrap();
    let long = " ".repeat(5 * 1024 * 1024);
    for other in [text.replace('\n', " "), text.clone() + &long, long] {
        fs::write(&record, &other).unwrap();
        cell.run(&["ceremony", "execute", "root-2"]).fails(1);
        assert_eq!(fs::metadata(&record).unwrap().len(), other.len() as u64);
    }
}

#[test]
fn no_pipe_is_waited_for_and_no_file_read_without_end() {
    let cell = planned();
    let made = cell.command(&["mkfifo", "root-2/bundle.note"]).status().unwrap();
    assert!(made.success());
    for command in [["ceremony", "approve", "--yes", "root-2"].as_slice(), &["ceremony", "import", "root-2"]]
    {
        let said = cell.run(command).fails(1);
        assert!(said.contains("regular file"), "{command:?}: {said}");
    }
    fs::File::create(cell.path("root-2/plan.note")).unwrap().set_len(3 << 30).unwrap();
    let said = cell.run(&["ceremony", "execute", "root-2"]).fails(1);
    assert!(said.contains("longer"), "{said}");
}

#[test]
fn an_officers_directory_can_be_moved() {
    let cell = Cell::founded(BINARY);
    let copied = cell.command(&["cp", "-a", "config/rootcellar/officer", "stick"]).status().unwrap();
    assert!(copied.success());
    fs::remove_dir_all(cell.officer_dir()).unwrap();
    let stick = cell.path("stick").display().to_string();
    let listed = cell.run(&["--officer-dir", &stick, "token", "list", "--root"]).ok();
    assert!(listed.contains("rootcellar-root"), "{listed}");
    cell.run(&["--officer-dir", &stick, "ceremony", "plan", "root", "--out", "root-2"]).ok();
    cell.run(&["--officer-dir", &stick, "ceremony", "approve", "--yes", "root-2"]).ok();
    cell.run(&["--officer-dir", &stick, "ceremony", "execute", "root-2"]).ok();
}

#[test]
fn a_founding_goes_on_with_the_keys_that_it_began_with() {
    let cell = Cell::empty(BINARY);
    fs::write(cell.path("kill"), "ceremony began").unwrap();
    assert_ne!(cell.run(&["init"]).code, 0, "it was killed");
    cell.configure("[token]\nissuing-key = \"p384\"\n");
    let said = cell.run(&["init"]).fails(1);
    assert!(said.contains("issuer p256") && said.contains("issuer p384"), "{said}");
    cell.configure("");
    cell.run(&["init"]).ok();
    assert_eq!(cell.serve().stop(), 0);
}

#[tokio::test]
async fn nobody_looks_into_a_process_that_asks_for_an_officers_passphrase() {
    let house = House::new();
    let passphrase = house.cell.path("passphrase");
    fs::write(&passphrase, "correct horse battery staple").unwrap();
    fs::set_permissions(&passphrase, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    let configured = |source: &str| house.cell.configure(&format!("[officer]\npassphrase = \"{source}\"\n"));
    configured(&format!("file:{}", passphrase.display()));
    house.cell.run(&["officer", "create", "sealed", "--passphrase", "--out", "sealed.key"]).ok();
    configured("fd:0");
    let config = house.cell.config_file().display().to_string();
    for command in [
        ["freeze"].as_slice(),
        &["grant", "set", "build", "name=ci;agents=ci/*;roles=logger"],
        &["controller", "add", "ci", "--grant", "agents=ci/*;roles=logger"],
    ] {
        let all = [&[BINARY, "--config", &config], command, &["--officer-key", "sealed.key"]].concat();
        let mut asks = house.cell.command(&all).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        // It waits for the passphrase, which never comes.
        eventually("its memory is its own", async || {
            let limits = fs::read_to_string(format!("/proc/{}/limits", asks.id())).unwrap_or_default();
            let core = limits.lines().find(|line| line.starts_with("Max core file size"))?.to_owned();
            (core.split_whitespace().nth(4) == Some("0")).then_some(())
        })
        .await;
        Serving::signal(asks.id(), Signal::KILL);
        asks.wait().unwrap();
    }
}

/// A name typed wrong is no ceremony that is in force already.
#[test]
fn nothing_is_imported_from_nothing() {
    let cell = Cell::empty(BINARY);
    cell.run(&["init"]).ok();
    let _serving = cell.serve();
    fs::create_dir(cell.path("empty")).unwrap();
    cell.run(&["ceremony", "plan", "root", "--out", "planned"]).ok();
    for (dir, next) in
        [("empty", "ceremony show"), ("none", "ceremony show"), ("planned", "ceremony execute")]
    {
        let said = cell.run(&["ceremony", "import", dir]).fails(2);
        assert!(said.contains("holds nothing to import") && said.contains(next), "{said}");
    }
}

/// A token without files has no directory that could be missing: it is looked for where its module is.
#[test]
fn a_token_without_files_needs_no_directory() {
    let cell = Cell::founded(BINARY);
    let (token, hardware) = (cell.officer_dir().join("token"), cell.path("hardware"));
    fs::rename(&token, &hardware).unwrap();
    let conf = hardware.join("softhsm2.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, text.replace(token.to_str().unwrap(), hardware.to_str().unwrap())).unwrap();
    let profile = cell.path("hardware.toml");
    let known = "name = \"hardware\"\nmodule = [\"/usr/lib/softhsm/libsofthsm2.so\"]\nsessions = 1\ninitializable = false\n\
         files = \"\"\nattestation = \"none\"\nprovenance_exceptions = []\n[environment]\n";
    fs::write(&profile, format!("{known}SOFTHSM2_CONF = \"{}\"\n", conf.display())).unwrap();
    cell.configure(&format!("[root-token]\nprofile = \"{}\"\n", profile.display()));
    cell.run(&["ceremony", "plan", "root", "--out", "root-2"]).ok();
    cell.run(&["ceremony", "approve", "--yes", "root-2"]).ok();
    cell.run(&["ceremony", "execute", "root-2"]).ok();
    assert!(cell.path("root-2/transcript.note").exists(), "nothing waits for a token of elsewhere");
}

/// What is read from a pipe is gone: the PIN that a token gets is the one that is logged in with.
#[test]
fn a_pin_from_a_pipe_is_read_once_for_a_new_token() {
    let mut cell = Cell::empty(BINARY);
    cell.configure("[root-token]\npin = \"fd:3\"\n");
    cell.program().wrap(&["sh", "-c", r#"printf 12345678 | "$@" 3<&0 </dev/null"#, "sh"]);
    cell.run(&["init"]).ok();
    assert!(!cell.officer_dir().join("root.pin").exists());
}
