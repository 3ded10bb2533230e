//! What the children are given of that with which the supervisor was started: the keeper the descriptors of PINs, the front nothing of PINs, and neither
//! any other descriptor.

use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::process::Command;

use command_fds::{CommandFdExt as _, FdMapping};
use hsm_config::PinSource;

/// The first descriptor that is no standard one.
const FIRST: RawFd = 3;

/// Where the PINs are that were given to the supervisor itself.
pub(crate) struct Inherited {
    descriptors: Vec<(File, RawFd)>,
    variables: Vec<String>,
}

impl Inherited {
    /// From here on no child inherits a descriptor that is not handed to it. Called before any other thread runs.
    pub(crate) fn take<'t>(pins: impl Iterator<Item = &'t PinSource>) -> Self {
        close_fds::set_fds_cloexec(FIRST, &[]);
        let (mut descriptors, mut variables) = (Vec::new(), Vec::new());
        for pin in pins {
            match pin {
                // Opened anew, as whoever reads it does. One that is not there is for the keeper to say.
                PinSource::Fd(number) => {
                    let number = RawFd::try_from(*number).ok().filter(|number| *number >= FIRST);
                    let file = number.and_then(|number| File::open(format!("/proc/self/fd/{number}")).ok());
                    descriptors.extend(file.zip(number));
                }
                PinSource::Environment(name) => variables.push(name.clone()),
                PinSource::Credential(_) | PinSource::File(_) | PinSource::Prompt | PinSource::Protected => {}
            }
        }
        Self { descriptors, variables }
    }

    /// Hands the keeper the descriptors that its configuration names.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(crate) fn hand_to_keeper(&self, keeper: &mut Command) -> io::Result<()> {
        let mapping = |(file, child_fd): &(File, RawFd)| {
            Ok(FdMapping { parent_fd: file.try_clone()?.into(), child_fd: *child_fd })
        };
        let mappings = self.descriptors.iter().map(mapping).collect::<io::Result<Vec<_>>>()?;
        keeper.fd_mappings(mappings).map_err(io::Error::other)?;
        Ok(())
    }

    /// Takes the variables of PINs from the front's environment.
    pub(crate) fn keep_from_front(&self, front: &mut Command) {
        for name in &self.variables {
            front.env_remove(name);
        }
    }
}
