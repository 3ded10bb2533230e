//! `rootcellar token conformance`: what a PKCS#11 module can do of what is needed here. Needs no cell and no configuration.

mod view;

use std::path::PathBuf;
use std::process::Stdio;

use certs::{PublicKey, SignatureAlgorithm};
use clap::Args;
use hsm_config::{
    Conformance as Found, KeyAlgorithm, Module, Pin, PinGuard, PinSource, Profile, Surroundings, Token,
    TokenError, TokenUri, examine,
};

use super::{json, report_of};
use crate::error::Failure;
use crate::files;
use crate::session::Session;

/// Try what a PKCS#11 module can do of what is needed here, before it is bought
///
/// Makes keys of its own in a token that has a PIN, whose label begins with "rootcellar conformance", signs with them, measures, and destroys
/// them again. Signatures are verified by another library than the token's. Exit code 0 when a cell can use it, 1 otherwise.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootcellar token conformance /opt/vendor/lib/libpkcs11.so --token try --pin file:/root/try.pin
  rootcellar token conformance /usr/lib/softhsm/libsofthsm2.so --env SOFTHSM2_CONF=/tmp/softhsm2.conf --token try
  rootcellar token conformance vendor.so --slot 3 --without-flags --pin file:/root/try.pin
  rootcellar token conformance vendor.so --token try --write-profile vendor.toml --output json")]
#[expect(clippy::struct_excessive_bools, reason = "they are flags of the command line")]
pub(crate) struct Conformance {
    /// The module: a shared library
    #[arg(value_name = "MODULE")]
    module: PathBuf,
    /// Label of the token
    #[arg(long, value_name = "LABEL", required_unless_present = "slot", value_parser = TokenUri::with_label)]
    token: Option<TokenUri>,
    /// Number of its slot, for a token that does not tell its label
    #[arg(long, value_name = "NUMBER", conflicts_with = "token")]
    slot: Option<u64>,
    /// Log in to it although it does not tell whether one more wrong PIN would lock it
    #[arg(long, requires = "slot")]
    without_flags: bool,
    /// Where its PIN comes from: credential:NAME, file:PATH, fd:N, prompt, protected or env:NAME
    #[arg(long, value_name = "SOURCE", default_value = "prompt")]
    pin: PinSource,
    /// What is known of it beforehand: a profile's name or file
    #[arg(long, value_name = "FILE")]
    profile: Option<String>,
    /// Value of {dir} in the profile
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// A variable in the environment of the module, NAME=VALUE; several times
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Leave out what takes long: how many signatures a second, with how many sessions
    #[arg(long)]
    no_rates: bool,
    /// Write a profile made of what was found
    #[arg(long, value_name = "FILE")]
    write_profile: Option<PathBuf>,
    /// In the process that loads the module
    #[arg(long, hide = true)]
    in_child: bool,
    /// In a second process: log in, and nothing more
    #[arg(long, hide = true)]
    only_login: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn run(session: &Session, args: &Conformance) -> Result<(), Failure> {
    let profile = args.known()?;
    if args.in_child {
        return args.in_child(session, &profile);
    }
    let dir = std::path::absolute(&args.dir).map_err(|error| Failure::file(&args.dir, error))?;
    profile.set_up(&dir).map_err(Failure::from)?;
    let found: Found = report_of(args.again(session, &profile)?)?;
    if let Some(path) = &args.write_profile {
        files::write(path, found.profile.as_bytes(), 0o644)?;
    }
    let fit = found.fit();
    session.output().say(&view::Report::new(&args.module, args.write_profile.as_deref(), found))?;
    if fit {
        return Ok(());
    }
    Err(Failure::new("TOKEN_UNFIT", "a cell cannot use this token: see what failed, and what that means"))
}

impl Conformance {
    /// What is known beforehand, with the module and the environment of the command line.
    fn known(&self) -> Result<Profile, Failure> {
        let known = match &self.profile {
            Some(name) => Profile::load(name).map_err(TokenError::from)?.with_module(self.module.clone()),
            None => Profile::plain(std::slice::from_ref(&self.module)),
        };
        Ok(known.with_environment(self.environment.clone()))
    }

    /// This command in the process that loads the module.
    fn again(&self, session: &Session, profile: &Profile) -> Result<std::process::Command, Failure> {
        let dir = std::path::absolute(&self.dir).map_err(|error| Failure::file(&self.dir, error))?;
        let mut command = session.again(&profile.environment(&dir))?;
        command.args(["token", "conformance", "--in-child"]).arg(&self.module);
        command.arg(format!("--pin={}", self.pin)).arg("--dir").arg(dir);
        command.args(self.token.iter().filter_map(TokenUri::label).map(|label| format!("--token={label}")));
        command.args(self.slot.iter().map(|slot| format!("--slot={slot}")));
        command.args(self.without_flags.then_some("--without-flags"));
        command.args(self.profile.iter().map(|profile| format!("--profile={profile}")));
        command.args(self.no_rates.then_some("--no-rates"));
        command.args(self.environment.iter().map(|(name, value)| format!("--env={name}={value}")));
        command.args(session.output().is_json().then_some("--output=json"));
        Ok(command)
    }

    fn in_child(&self, session: &Session, profile: &Profile) -> Result<(), Failure> {
        // Nothing of the PIN in a core dump.
        sys::harden().map_err(|error| Failure::new("CHILD_FAILED", error))?;
        // There need be no cell: what is remembered of refused PINs is this user's (invariant I7).
        let guard = PinGuard::new(session.places()?.state());
        let pin = self.pin.read().map_err(TokenError::from)?;
        if self.only_login {
            self.open()?.login(&pin, &guard)?;
            return Ok(());
        }
        let found = self.examine(session, &pin, &guard, profile)?;
        session.output().raw(&json(&found)?)
    }

    fn open(&self) -> Result<Token, TokenError> {
        let module = Module::load(&self.module)?;
        match (&self.token, self.slot) {
            (_, Some(slot)) => Token::in_slot(&module, slot, self.without_flags),
            (Some(label), None) => Token::find(&module, label),
            // clap has one of the two.
            (None, None) => Err(TokenError::Malformed("no name")),
        }
    }

    fn examine(
        &self,
        session: &Session,
        pin: &Pin,
        guard: &PinGuard,
        profile: &Profile,
    ) -> Result<Found, Failure> {
        let other_process = || {
            if !self.pin.unattended() {
                return None;
            }
            let mut command = match self.again(session, profile) {
                Ok(command) => command,
                Err(failure) => return Some(Err(failure.to_string())),
            };
            let ended = command.arg("--only-login").stdin(Stdio::null()).output();
            Some(match ended {
                Err(error) => Err(error.to_string()),
                Ok(ended) if ended.status.success() => Ok(()),
                Ok(ended) => {
                    let said = String::from_utf8_lossy(&ended.stderr);
                    Err(said.lines().find(|line| line.contains("failed")).unwrap_or("it ended").to_owned())
                }
            })
        };
        Ok(examine(
            &|| self.open(),
            pin,
            guard,
            profile,
            &Surroundings { verify: &verifies, other_process: &other_process, measure: !self.no_rates },
        )?)
    }
}

/// Whether a signature as the token returned it is that key's over that message.
fn verifies(algorithm: KeyAlgorithm, spki: &[u8], message: &[u8], raw: Vec<u8>) -> bool {
    let Ok(key) = PublicKey::try_from(spki) else { return false };
    keeper::certificate_signature(algorithm, raw).is_ok_and(|signature| {
        SignatureAlgorithm::of(key.kind()).verify_by(&key, message, &signature).is_ok()
    })
}
