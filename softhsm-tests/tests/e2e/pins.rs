//! PINs: what a token says of them, those that are entered at it, and an officer's word. The logins are counted (invariant I7).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rootcellar_softhsm_tests::{Cell, Faults, Serving, Signal};

use crate::support::{BINARY, GRANT, House, ask, csr, eventually, request, still_issues};

// PKCS#11 v3.1 §3.2, table 8.
const PROTECTED_AUTHENTICATION_PATH: u32 = 0x0000_0100;
const USER_PIN_COUNT_LOW: u32 = 0x0001_0000;
const USER_PIN_FINAL_TRY: u32 = 0x0002_0000;
const USER_PIN_LOCKED: u32 = 0x0004_0000;

fn founded() -> (Cell, Faults) {
    let mut cell = Cell::empty(BINARY);
    let faults = Faults::between(&mut cell);
    cell.run(&["init"]).ok();
    (cell, faults)
}

/// Adds a line to `[token]`, which is the configuration's last section.
fn configure(cell: &Cell, line: &str) {
    let text = fs::read_to_string(cell.config_file()).unwrap();
    fs::write(cell.config_file(), format!("{text}{line}\n")).unwrap();
}

fn serial(cell: &Cell) -> String {
    let tokens = cell.run(&["token", "list", "--output", "json"]).json();
    let ours = tokens["tokens"].as_array().unwrap().iter().find(|token| token["configured"] == true);
    ours.expect("the configured token")["serial"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_last_try_is_left_alone() {
    let (cell, faults) = founded();
    let before = faults.logins();
    for (flag, said) in [(USER_PIN_FINAL_TRY, "FINAL_TRY"), (USER_PIN_LOCKED, "LOCKED")] {
        faults.show_flags(flag);
        let refusal = cell.try_serve().expect_err("it does not serve").fails(77);
        assert!(refusal.contains(said) && refusal.contains("No login was tried"), "{refusal}");
        cell.run(&["token", "inspect"]).fails(77);
        assert_eq!(faults.logins(), before, "no login at all");
    }
    // A wrong PIN since the last login is no reason to stop: it is told.
    faults.show_flags(USER_PIN_COUNT_LOW);
    let house = House::of(cell);
    eventually("the log says so", async || {
        house.serving.log().contains("CKF_USER_PIN_COUNT_LOW").then_some(())
    })
    .await;
    still_issues(&house.build().await).await;
}

#[tokio::test]
async fn entered_at_the_token() {
    let (cell, faults) = founded();
    let pin = fs::read_to_string(cell.data_dir().join("token/pin")).unwrap();
    configure(&cell, "pin = \"protected\"");
    let before = faults.logins();
    let said = cell.try_serve().expect_err("no PIN pad").fails(77);
    assert!(said.contains("CKF_PROTECTED_AUTHENTICATION_PATH"), "{said}");
    assert_eq!(faults.logins(), before, "no login at all");

    faults.show_flags(PROTECTED_AUTHENTICATION_PATH);
    faults.enter("87654321");
    for _ in 0..2 {
        cell.try_serve().expect_err("it does not serve").fails(77);
        assert_eq!((faults.logins() - before, faults.entered_there()), (1, 1), "one entry, and no PIN sent");
    }
    // What was entered is not known here, so that a right entry needs an officer's word.
    faults.enter(pin.trim());
    cell.run(&["token", "clear-pin-failure", &serial(&cell)]).ok();
    let house = House::of(cell);
    assert_eq!(faults.logins() - before, faults.entered_there(), "no PIN was sent");
    still_issues(&house.build().await).await;
}

#[test]
fn an_officer_clears_what_is_remembered() {
    let (cell, faults) = founded();
    let (pin, right) = (cell.data_dir().join("token/pin"), cell.path("right"));
    fs::rename(&pin, &right).unwrap();
    fs::write(&pin, "12345678").unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o400)).unwrap();
    let (before, serial) = (faults.logins(), serial(&cell));
    let clear = || cell.run(&["token", "clear-pin-failure", &serial]);
    assert!(clear().fails(1).contains("no refused PIN"), "there is nothing to clear");
    let refusal = cell.run(&["token", "inspect"]).fails(77);
    assert!(refusal.contains(&format!("clear-pin-failure {serial}")), "{refusal}");

    // Another cell's officer, or none, is nobody here.
    let key = cell.officer_dir().join("officer.key");
    let kept = fs::read(&key).unwrap();
    let stranger = Cell::founded(BINARY);
    fs::remove_file(&key).unwrap();
    clear().fails(1);
    fs::copy(stranger.officer_dir().join("officer.key"), &key).unwrap();
    assert!(clear().fails(1).contains("not an officer of the charter"));
    cell.run(&["token", "inspect"]).fails(77);
    assert_eq!(faults.logins() - before, 1, "nothing was cleared");
    fs::remove_file(&key).unwrap();
    fs::write(&key, kept).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();

    // A charter of another cell is seen before anything is signed.
    let (configuration, file) = (fs::read_to_string(cell.config_file()).unwrap(), cell.config_file());
    fs::write(&file, format!("cell = \"other.example\"\n{configuration}")).unwrap();
    assert!(clear().fails(78).contains("charter of another cell"));
    assert!(!cell.path("state/rootcellar/pin-failures-cleared").exists(), "nothing was signed");
    fs::write(&file, configuration).unwrap();

    clear().ok();
    let said = || {
        let notes = fs::read_dir(cell.path("state/rootcellar/pin-failures-cleared")).unwrap();
        notes.map(|note| fs::read_to_string(note.unwrap().path()).unwrap()).collect::<Vec<_>>()
    };
    let note = said().concat();
    assert!(note.contains(&format!("(serial {serial})\n")) && note.contains("/officer/officer-1 "), "{note}");
    // It is one more try, not a pardon for ever.
    cell.run(&["token", "inspect"]).fails(77);
    cell.run(&["token", "inspect"]).fails(77);
    assert_eq!(faults.logins() - before, 2);
    clear().ok();
    let both = said();
    assert!(both.len() == 2 && both[0] != both[1], "every word is kept: {both:?}");
    fs::remove_file(&pin).unwrap();
    fs::rename(&right, &pin).unwrap();
    cell.run(&["token", "inspect"]).ok();
}

/// A second wrong PIN makes nobody forget the first, nor does a token that fails while one is tried.
#[test]
fn two_wrong_pins_are_tried_once_each() {
    let (cell, faults) = founded();
    let (pin, right) = (cell.data_dir().join("token/pin"), cell.path("right"));
    fs::rename(&pin, &right).unwrap();
    let inspect = |text: &str| {
        let _ = fs::remove_file(&pin);
        fs::write(&pin, text).unwrap();
        fs::set_permissions(&pin, fs::Permissions::from_mode(0o400)).unwrap();
        cell.run(&["token", "inspect"])
    };
    let before = faults.logins();
    inspect("11111111").fails(77);
    // CKR_DEVICE_ERROR says nothing of the PIN.
    faults.answer_logins("48");
    let failed = inspect("22222222");
    assert!(failed.code != 0 && failed.code != 77, "{}", failed.stderr);
    faults.answer_logins("");
    assert_eq!(faults.logins() - before, 2);
    for wrong in ["11111111", "22222222", "11111111", "22222222", "11111111"] {
        inspect(wrong).fails(77);
    }
    assert_eq!(faults.logins() - before, 3, "each once, and one that was not counted");
    // A third one is one too many: now not even the right one is tried before an officer says so.
    inspect("33333333").fails(77);
    let right = fs::read_to_string(&right).unwrap();
    let said = inspect(&right).fails(77);
    assert!(said.contains("no PIN is tried") && said.contains("clear-pin-failure"), "{said}");
    assert_eq!(faults.logins() - before, 4);
    cell.run(&["token", "clear-pin-failure", &serial(&cell)]).ok();
    inspect(&right).ok();
    // A login forgives all.
    inspect("11111111").fails(77);
    assert_eq!(faults.logins() - before, 6);
}

/// Whichever way a token is reached, one wrong PIN is tried once: by its own command, another officer's directory, the examination of a module.
#[test]
fn one_wrong_pin_is_tried_once_by_every_command() {
    let (cell, faults) = founded();
    let pin = cell.data_dir().join("token/pin");
    fs::remove_file(&pin).unwrap();
    fs::write(&pin, "12345678").unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o400)).unwrap();
    let before = faults.logins();
    cell.run(&["token", "inspect"]).fails(77);
    assert_eq!(faults.logins() - before, 1);
    let source = format!("file:{}", pin.display());
    let dir = cell.data_dir().join("token").display().to_string();
    let conf = format!("SOFTHSM2_CONF={dir}/softhsm2.conf");
    let module = faults.module().display().to_string();
    let examine =
        ["token", "conformance", &module, "--token", "rootcellar-issuing", "--pin", &source, "--env", &conf];
    let examine: Vec<&str> = examine.iter().copied().chain(["--no-rates"]).collect();
    cell.run(&examine).fails(77);
    let elsewhere = cell.path("elsewhere").display().to_string();
    cell.run(&["--officer-dir", &elsewhere, "token", "inspect"]).fails(77);
    cell.try_serve().expect_err("it does not serve").fails(77);
    cell.run(&["doctor"]).fails(1);
    assert_eq!(faults.logins() - before, 1, "one try in all");
}

/// Whether one more wrong PIN locks it is not known of a token that does not tell.
#[test]
fn a_token_without_flags_is_left_alone() {
    let (cell, faults) = founded();
    // SoftHSM2 makes a slot's number of the last 31 bits of the serial number.
    let serial = serial(&cell);
    let slot = u32::from_str_radix(&serial[serial.len() - 8..], 16).unwrap() & 0x7fff_ffff;
    let (module, slot) = (faults.module().display().to_string(), slot.to_string());
    let dir = cell.data_dir().join("token").display().to_string();
    let (pin, conf) = (format!("file:{dir}/pin"), format!("SOFTHSM2_CONF={dir}/softhsm2.conf"));
    let examine = |more: &[&str]| {
        let mut arguments =
            vec!["token", "conformance", &module, "--slot", &slot, "--pin", &pin, "--no-rates"];
        arguments.extend(["--env", &conf]);
        arguments.extend(more);
        cell.run(&arguments)
    };
    faults.tell("nothing");
    let before = faults.logins();
    let said = examine(&[]).fails(77);
    assert!(said.contains("flags cannot be read") && said.contains("No login was tried"), "{said}");
    assert_eq!(faults.logins(), before);
    assert!(examine(&["--without-flags"]).fails(1).contains("cannot use this token"));
    assert!(faults.logins() > before, "on a person's word");
}

/// What a process has open.
fn open_in(pid: u32) -> Vec<PathBuf> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    descriptors.filter_map(|one| fs::read_link(one.unwrap().path()).ok()).collect()
}

/// The service is started with a PIN's descriptor, a PIN in a variable, and a descriptor that its caller forgot to close.
#[tokio::test]
async fn the_front_inherits_no_pin_and_nobody_a_stray_descriptor() {
    let (mut cell, _faults) = founded();
    let (base, pin) = (fs::read_to_string(cell.config_file()).unwrap(), cell.data_dir().join("token/pin"));
    let stray = cell.path("stray");
    fs::write(&stray, "").unwrap();
    let given = format!("exec 8<'{}' 9<'{}'; exec \"$0\" \"$@\"", pin.display(), stray.display());
    cell.program().wrap(&["bash", "-c", &given]);
    cell.program().set("TOKEN_PIN", &fs::read_to_string(&pin).unwrap());
    for (source, name) in [("fd:8", "first"), ("env:TOKEN_PIN", "second")] {
        fs::write(cell.config_file(), format!("{base}pin = \"{source}\"\n")).unwrap();
        let mut house = House::of(cell);
        let (keeper, front) = (house.serving.child("keeper"), house.serving.child("front"));
        for (child, has_pin) in [(keeper, source == "fd:8"), (front, false)] {
            let open = open_in(child);
            assert!(!open.contains(&stray), "{open:?}");
            assert_eq!(open.contains(&pin), has_pin, "{source}: {open:?}");
        }
        // Who is not root does not see it.
        let environment = fs::read(format!("/proc/{front}/environ")).unwrap_or_default();
        let has_variable = environment.split(|octet| *octet == 0).any(|one| one.starts_with(b"TOKEN_PIN="));
        assert!(!has_variable || source == "fd:8");
        // What it was given once, the keeper has after a restart, too.
        let client = house.controller(name, GRANT).client().await;
        Serving::signal(keeper, Signal::KILL);
        eventually("it issues", async || ask(&client, request(&format!("build/{name}"), csr())).await.ok())
            .await;
        assert_ne!(house.serving.child("keeper"), keeper);
        assert_eq!(house.stop().await, 0);
        cell = house.cell;
    }
}

/// Runs a program on a terminal of its own and types what is in a file when it is asked for a PIN, once the terminal shows nothing: the
/// question comes a moment before.
const TERMINAL: &str = r#"
import os, pty, sys, termios
typed = open(sys.argv[1], "rb").read()
def answer(terminal):
    said = os.read(terminal, 4096)
    if b"PIN of the token rootcellar-issuing: " in said:
        while termios.tcgetattr(terminal)[3] & termios.ECHO:
            os.sched_yield()
        os.write(terminal, typed + b"\n")
    return said
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[2:], answer)))
"#;

#[test]
fn every_source() {
    let (mut cell, faults) = founded();
    let base = fs::read_to_string(cell.config_file()).unwrap();
    let take = |cell: &Cell, source: &str| {
        fs::write(cell.config_file(), format!("{base}pin = \"{source}\"\n")).unwrap();
    };
    let (file, dir) = (cell.data_dir().join("token/pin"), cell.data_dir().join("token"));
    let pin = fs::read_to_string(&file).unwrap();
    let before = faults.logins();

    // A systemd credential: a file of this name in the directory that the environment names.
    cell.program().set("CREDENTIALS_DIRECTORY", &dir.display().to_string());
    take(&cell, "credential:pin");
    cell.run(&["token", "inspect"]).ok();
    // A descriptor, here standard input.
    take(&cell, "fd:0");
    let config = cell.config_file().display().to_string();
    let mut command = cell.program().command(&["--config", &config, "token", "inspect"]);
    let inspected = command.stdin(fs::File::open(&file).unwrap()).output().unwrap();
    assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
    // The environment, with a warning.
    cell.program().set("TOKEN_PIN", &pin);
    take(&cell, "env:TOKEN_PIN");
    let inspected = cell.run(&["token", "inspect"]);
    assert!(inspected.stderr.contains("other processes of this user can read it"), "{}", inspected.stderr);
    inspected.ok();
    // What is no text may be the PIN all the same: it is not shown.
    let mut command = cell.program().command(&["--config", &config, "token", "inspect"]);
    let outcome = command.env("TOKEN_PIN", OsStr::from_bytes(b"s3cret\xff")).output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr);
    assert!(!outcome.status.success() && said.contains("UTF-8") && !said.contains("s3cret"), "{said}");
    assert_eq!(faults.logins() - before, 3);
    // A file that others can read is refused, and costs no try.
    let wide = cell.path("wide");
    fs::write(&wide, &pin).unwrap();
    fs::set_permissions(&wide, fs::Permissions::from_mode(0o440)).unwrap();
    take(&cell, &format!("file:{}", wide.display()));
    assert!(cell.run(&["token", "inspect"]).fails(77).contains("readable by others"));
    assert_eq!(faults.logins() - before, 3);
    // The terminal: what is typed is not shown.
    take(&cell, "prompt");
    cell.program().wrap(&["python3", "-c", TERMINAL, &file.display().to_string()]);
    let shown = cell.run(&["token", "inspect"]).ok();
    assert!(shown.contains("rootcellar issuer") && !shown.contains(&pin), "{shown}");
    assert_eq!(faults.logins() - before, 4);
}
