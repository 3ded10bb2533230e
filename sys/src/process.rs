//! What the process forbids itself before it sees a PIN.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};
use rustix::thread::set_no_new_privs;

/// No core dump, no ptrace or `/proc/PID/mem` by others of the same user (PR_SET_DUMPABLE, prctl(2)), files for the owner alone, and for no program
/// that is started from here more rights than this one has (PR_SET_NO_NEW_PRIVS, prctl(2)): whoever it runs as, this user can end it. Called
/// before there are threads: each has the last for itself.
///
/// # Errors
/// The kernel's.
pub fn harden() -> std::io::Result<()> {
    set_no_new_privs(true)?;
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// As many file descriptors as the system allows this process (RLIMIT_NOFILE, getrlimit(2)): how many these are.
///
/// # Errors
/// The kernel's.
pub fn raise_descriptors() -> std::io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    // None is no limit.
    Ok(limit.maximum.unwrap_or(u64::MAX))
}
