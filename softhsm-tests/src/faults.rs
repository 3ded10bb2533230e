//! The fault-injecting module between a cell and SoftHSM2.

use std::fs;
use std::path::PathBuf;

use crate::cell::Cell;

/// What the module counted, and how it misbehaves.
#[derive(Debug)]
pub struct Faults {
    dir: PathBuf,
}

impl Faults {
    /// Puts the module between `cell` and SoftHSM2. Before the cell is founded or served.
    ///
    /// # Panics
    /// The module is not built.
    pub fn between(cell: &mut Cell) -> Self {
        let dir = cell.path("faults");
        fs::create_dir_all(&dir).expect("a directory");
        let module = crate::program::built("librootcellar_fault_module.so");
        cell.configure(&format!("[token]\nmodule = \"{}\"\n", module.display()));
        cell.program().set("FAULT_MODULE", "/usr/lib/softhsm/libsofthsm2.so");
        cell.program().set("FAULT_DIR", &dir.display().to_string());
        Self { dir }
    }

    /// The module's file.
    ///
    /// # Panics
    /// It is not built.
    pub fn module(&self) -> PathBuf {
        crate::program::built("librootcellar_fault_module.so")
    }

    /// How often C_Login was called so far, by every process.
    pub fn logins(&self) -> usize {
        fs::read_to_string(self.dir.join("logins")).map_or(0, |text| text.lines().count())
    }

    /// How often C_Login was called without a PIN, for it to be entered at the token.
    pub fn entered_there(&self) -> usize {
        let text = fs::read_to_string(self.dir.join("logins")).unwrap_or_default();
        text.lines().filter(|line| *line == "entered at the token").count()
    }

    /// From now on the token shows these flags beside its own (CK_TOKEN_INFO.flags).
    ///
    /// # Panics
    /// The disk's.
    pub fn show_flags(&self, flags: u32) {
        self.write("flags", &flags.to_string());
    }

    /// From now on this is entered at the token, where a login brings no PIN.
    ///
    /// # Panics
    /// The disk's.
    pub fn enter(&self, pin: &str) {
        self.write("keypad", pin);
    }

    /// From now on each C_Login returns this, decimal, without looking at the PIN; empty for nothing.
    ///
    /// # Panics
    /// The disk's.
    pub fn answer_logins(&self, rv: &str) {
        self.write("login-rv", rv);
    }

    /// Whether from now on C_Login does not come back.
    ///
    /// # Panics
    /// The disk's.
    pub fn hang_logins(&self, hang: bool) {
        self.write("login-hangs", if hang { "yes" } else { "no" });
    }

    /// What C_Sign was given to sign so far, in every process: digests for ECDSA and RSA, whole messages for Ed25519.
    ///
    /// # Panics
    /// The record is damaged.
    pub fn signed(&self) -> Vec<Vec<u8>> {
        let text = fs::read_to_string(self.dir.join("signs")).unwrap_or_default();
        let octet = |line: &str, i| u8::from_str_radix(&line[i..i + 2], 16).expect("hexadecimal digits");
        text.lines().map(|line| (0..line.len()).step_by(2).map(|i| octet(line, i)).collect()).collect()
    }

    /// From now on each C_Sign does this: `flip`, `rv=N`, `delay=N`, `lasts=N`; empty for nothing.
    ///
    /// # Panics
    /// The disk's.
    pub fn set(&self, fault: &str) {
        self.write("fault", fault);
    }

    /// From now on each C_GenerateRandom does this: `stuck`, `bias`, `repeat`, or one of them `once-`; empty for nothing.
    ///
    /// # Panics
    /// The disk's.
    pub fn set_random(&self, fault: &str) {
        self.write("random", fault);
    }

    /// From now on the token of this label is listed and opens no session.
    ///
    /// # Panics
    /// The disk's.
    pub fn half_kill(&self, label: &str) {
        self.write("half-dead", label);
    }

    /// From now on nothing is destroyed, and the module says that it is.
    ///
    /// # Panics
    /// The disk's.
    pub fn destroy_nothing(&self) {
        self.write("undying", "yes");
    }

    /// What a token and its module tell of themselves from now on: `nothing` (C_GetTokenInfo fails), `NUL` (texts are padded with it).
    ///
    /// # Panics
    /// The disk's.
    pub fn tell(&self, what: &str) {
        self.write("told", what);
    }

    /// Whether private values can be read from now on.
    ///
    /// # Panics
    /// The disk's.
    pub fn show_private_values(&self, shown: bool) {
        self.write("readable", if shown { "yes" } else { "" });
    }

    fn write(&self, name: &str, fault: &str) {
        let beside = self.dir.join(format!("{name}.new"));
        fs::write(&beside, fault).expect("it is written");
        fs::rename(beside, self.dir.join(name)).expect("it is written");
    }
}
