//! What the process forbids itself before it sees a PIN.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

/// No core dump, no ptrace or `/proc/PID/mem` by others of the same user (PR_SET_DUMPABLE, prctl(2)), and files for the owner alone.
///
/// # Errors
/// The kernel's.
pub fn harden() -> std::io::Result<()> {
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
