//! The tokens that the configuration names, and processes that open them.

use std::path::Path;

use ceremony::host::{HostError, TokenHost};
use ceremony::plans::Place;
use clap::ValueEnum;
use data_encoding::HEXLOWER;
use hsm_config::{PinSource, Profile, TokenConfig, TokenUri};
use keeper::Kept;
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::error::Failure;
use crate::session::Session;

/// A token of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// The service's
    Issuing,
    /// The service's second one
    Standby,
    /// The officer's, with the root key
    Root,
    /// The officer's, with the officer's own key
    Officer,
}

impl Which {
    /// Its configuration; none where there is no such token.
    pub(crate) fn config(self, config: &Config) -> Option<TokenConfig> {
        match self {
            Self::Issuing => Some(config.issuing_token()),
            Self::Standby => config.standby_token(),
            Self::Root => Some(config.root_token()),
            Self::Officer => config.officer_token(),
        }
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Issuing => "issuing",
            Self::Standby => "standby",
            Self::Root => "root",
            Self::Officer => "officer",
        }
    }

    /// The token that a plan's URI means. No plan is about an officer's own.
    fn meant(config: &Config, uri: &TokenUri) -> Result<Option<(Self, TokenConfig)>, HostError> {
        let plans = Self::value_variants().iter().filter(|which| **which != Self::Officer);
        let all = plans.filter_map(|which| Some((*which, which.config(config)?)));
        let mut meant: Vec<_> = all.filter(|(_, token)| token.uri.may_be(uri)).collect();
        if meant.len() > 1 {
            return Err(HostError::Reported(format!("{uri} may be several tokens of the configuration")));
        }
        Ok(meant.pop())
    }
}

/// Gives the process of the token that a plan's URI means: none where the configuration has no such token, or it is not among `only`.
pub(crate) fn opener<'a>(
    session: &'a Session,
    config: &'a Config,
    only: &'a [Which],
) -> impl FnMut(&str) -> Result<Option<TokenHost>, HostError> + 'a {
    move |uri| {
        let uri: TokenUri =
            uri.parse().map_err(|error: hsm_config::UriError| HostError::Reported(error.to_string()))?;
        let Some((which, token)) = Which::meant(config, &uri)? else { return Ok(None) };
        if !only.is_empty() && !only.contains(&which) {
            return Ok(None);
        }
        start(session, &token, &["--token", which.name()]).map(Some)
    }
}

/// A token of the configuration as plans name it: by its model too, and by its serial where it is there already.
///
/// # Errors
/// The configuration has none, or nothing says of which model it is.
pub(crate) fn place(session: &Session, config: &Config, which: Which) -> Result<Place, Failure> {
    let token = which.config(config).ok_or_else(|| {
        Failure::usage("the configuration has no such token")
            .mended_by("set standby-token.uri in the configuration file")
    })?;
    let exceptions = token.profile.exceptions();
    // Nothing is made where the profile says what it would be.
    let seen = if token.may_be_here() || token.profile.initializable && token.profile.model.is_empty() {
        let looked = process(session, config, which)?.look();
        looked.map_err(|error| Failure::new("TOKEN", error))?
    } else {
        None
    };
    let (model, serial) = match seen {
        Some((model, serial)) => (Some(model), serial),
        None => (token.uri.model().map(ToOwned::to_owned), None),
    };
    let made = (!token.profile.model.is_empty()).then(|| token.profile.model.clone());
    let model = model.or(made).ok_or_else(|| {
        let what =
            format!("the token {} is not here, and a plan says of which model its token is", token.uri);
        Failure::new("NO_MODEL", what)
            .mended_by(format!("uri = \"{};model=MODEL\" in the configuration file", token.uri))
    })?;
    Ok(Place { uri: token.uri.of_model(&model, serial.as_deref()), exceptions })
}

/// The process of one token of the configuration.
///
/// # Errors
/// There is no such token, or it cannot be started.
pub(crate) fn process(session: &Session, config: &Config, which: Which) -> Result<TokenHost, Failure> {
    let token = which.config(config).ok_or_else(|| {
        Failure::new("NO_TOKEN", "the configuration names no such token")
            .mended_by("rootcellar config show --reference")
    })?;
    let started = start(session, &token, &["--token", which.name()]);
    started.map_err(|error| Failure::new("TOKEN", error))
}

/// Gives processes of throw-away SoftHSM2 tokens below a directory, one for each URI.
pub(crate) fn rehearsal<'a>(
    session: &'a Session,
    dir: &'a Path,
) -> impl FnMut(&str) -> Result<Option<TokenHost>, HostError> + 'a {
    move |uri| {
        let reported = |error: &dyn std::fmt::Display| HostError::Reported(error.to_string());
        let label = uri.parse::<TokenUri>().ok().and_then(|uri| uri.label().map(ToOwned::to_owned));
        let label = label.ok_or_else(|| reported(&"a rehearsal names tokens by label"))?;
        let token = throw_away(dir, &label).map_err(|error| reported(&error))?;
        let dir = dir.display().to_string();
        start(session, &token, &["--rehearsal", &dir, "--label", &label]).map(Some)
    }
}

/// The model that a throw-away token reports.
pub(crate) const THROW_AWAY_MODEL: &str = "SoftHSM v2";

/// A throw-away token below a directory, in one of its own for each label. A plan's labels are anybody's words: none becomes a path.
///
/// # Errors
/// The label is none.
pub(crate) fn throw_away(dir: &Path, label: &str) -> Result<TokenConfig, Failure> {
    let dir = dir.join(HEXLOWER.encode(&Sha256::digest(label)));
    let uri = TokenUri::with_label(label).map_err(Failure::usage)?;
    let profile = Profile::load("softhsm2").map_err(|error| Failure::new("INTERNAL", error))?;
    Ok(TokenConfig { uri, profile, pin: PinSource::File(dir.join("pin")), dir })
}

fn start(session: &Session, token: &TokenConfig, arguments: &[&str]) -> Result<TokenHost, HostError> {
    let mut command = session.again(&[]).map_err(|failure| HostError::Reported(failure.to_string()))?;
    command.arg("token-host").args(arguments);
    TokenHost::start(command, token)
}

/// What the service's token keeps of the configured cell.
///
/// # Errors
/// Why it cannot be asked.
pub(crate) fn kept(session: &Session) -> Result<Kept, String> {
    let config = session.config().map_err(|error| Failure::from(error).to_string())?;
    let host = process(session, &config, Which::Issuing);
    let mut host = host.map_err(|failure| failure.to_string())?;
    match host.open(false).map_err(|error| error.to_string())? {
        Some(_) => host.kept(config.cell().as_ref()).map_err(|error| error.to_string()),
        None => Err("it is not there".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throw_away_token_lies_below_the_directory_whatever_its_label() {
        let dir = Path::new("/tmp/rehearsal");
        for label in ["rootcellar-root", "/tmp/x", "../..", "a/../../b"] {
            let token = throw_away(dir, label).unwrap();
            assert_eq!(token.dir.parent(), Some(dir), "{label}");
            assert_eq!(token.uri.label(), Some(label));
        }
    }
}
