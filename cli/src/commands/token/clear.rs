//! `rootcellar token clear-pin-failure`: an officer's word that a refused PIN may be tried once more (invariant I7).

use ceremony::officer::countersign;
use clap::Args;
use data_encoding::HEXLOWER;
use hsm_config::{PinGuard, TokenError, TokenName};
use ledger::pin::PinFailureCleared;
use serde::Serialize;

use crate::client::own::CHARTER;
use crate::error::{Exit, Failure};
use crate::files::{self, PUBLIC};
use crate::output::{Page, Show};
use crate::session::Session;

/// Directory of the notes, beside the record of refused PINs: every word that was ever given, one a file.
const NOTES: &str = "pin-failures-cleared";

/// Let a PIN that was refused be tried once more, on an officer's word
///
/// For a PIN that is right after all: the token was reset to it, or it was mistyped at the token. Naming the token confirms it. The officer's key
/// must be one of the charter's, both in --officer-dir; what it signs is kept beside the record, each time anew. A PIN that was changed needs none of this,
/// before three tries have failed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar token clear-pin-failure 7bf27022b8a6fd38")]
pub(crate) struct ClearPinFailure {
    /// Serial or label of the token, as the refusal and `token list` tell it
    #[arg(value_name = "TOKEN")]
    token: String,
}

pub(super) fn run(session: &Session, args: &ClearPinFailure) -> Result<(), Failure> {
    let config = session.config()?;
    let dir = config.state_dir();
    let guard = PinGuard::new(dir);
    let remembered = guard.remembered().map_err(TokenError::from)?;
    let token = named(&remembered, &args.token)?;
    let charter_path = config.officer_dir().join(CHARTER);
    let charter = crate::client::own::charters(&files::read(&charter_path)?)?.in_force().clone();
    if charter.cell() != config.cell().as_ref() {
        let said = format!("{} is the charter of another cell, {}", charter_path.display(), charter.cell());
        return Err(Failure::new("WRONG_CELL", said).ending(Exit::Configuration));
    }
    let mut nonce = [0; 16];
    (session.surroundings().random)(&mut nonce).map_err(|error| Failure::new("RANDOM", error))?;
    let (cell, time_unix) = (charter.cell().to_owned(), session.now_secs());
    let said = PinFailureCleared { cell, token: token.to_string(), nonce, time_unix };
    let note = said.draft().map_err(|error| Failure::new("NOT_SIGNED", error))?;
    let (_, key) = crate::officer_key::load(session, None)?;
    let note =
        countersign(note, charter.officers(), &key).map_err(|error| Failure::new("NOT_SIGNED", error))?;
    let approved = charter.approvals_of_one(&note).map_err(|error| Failure::unverified("the note", error))?;
    let notes = dir.join(NOTES);
    files::make_private_dir(&notes)?;
    let name = format!("{time_unix}-{}.note", HEXLOWER.encode(&nonce[..4]));
    files::write(&notes.join(name), note.to_string().as_bytes(), PUBLIC)?;
    guard.clear(token).map_err(TokenError::from)?;
    let officers = approved.officers().iter().map(ToString::to_string).collect();
    session.output().say(&Cleared { token: token.to_string(), officers })
}

/// The token of this serial number or label, of those of which something is remembered.
fn named<'a>(remembered: &'a [TokenName], name: &str) -> Result<&'a TokenName, Failure> {
    let mut matching = remembered.iter().filter(|token| token.serial == name || token.label == name);
    let all = || remembered.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (matching.next(), matching.next()) {
        (Some(token), None) => Ok(token),
        (Some(_), Some(_)) => {
            let said = format!("{name} may be several tokens: name it by its label; there are: {}", all());
            Err(Failure::usage(said))
        }
        (None, _) => {
            let others = if remembered.is_empty() { "none".to_owned() } else { all() };
            let said = format!("no refused PIN of token {name} is remembered; there are: {others}");
            Err(Failure::new("NOT_REMEMBERED", said).mended_by("rootcellar token list"))
        }
    }
}

#[derive(Debug, Serialize)]
struct Cleared {
    token: String,
    officers: Vec<String>,
}

impl Show for Cleared {
    fn show(&self, page: &mut Page) {
        page.field("token", &self.token);
        page.field("cleared by", self.officers.join(", "));
        page.line("What was refused is tried once more with the next login.");
    }
}
