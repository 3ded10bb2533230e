//! The command line: its nouns. Each command's own arguments stand beside what it does.

use clap::{Parser, Subcommand};

use crate::commands::{
    agent, ca, ceremony, cert, clock, config, controller, custody, doctor, freeze, front, grant, init, issue,
    issuer, journal, keeper, ledger, lint, officer, proposal, renew, serve, shell, status, token,
};
use crate::globals::Globals;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   refused, or failed
  2   the arguments say nothing that can be done
  75  try again later, as it is
  77  a PIN: nothing is tried again before a person acts
  78  the configuration

Examples:
  rootcellar init
  rootcellar serve
  rootcellar controller add build --grant 'agents=build/*;roles=logger;ttl=1h;budget=1000'
  rootcellar issue build/logger-1 --role logger";

/// A certificate authority whose keys live in a PKCS#11 token, and whose every signature is written down first.
#[derive(Debug, Parser)]
#[command(name = "rootcellar", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Init),
    Serve(serve::Serve),
    #[command(hide = true)]
    TokenHost(ceremony::host::Host),
    #[command(hide = true)]
    Keeper(keeper::Keeper),
    #[command(hide = true)]
    Front(front::Front),
    Status(status::Status),
    Doctor(doctor::Doctor),
    Freeze(freeze::Freeze),
    Thaw(freeze::Thaw),
    #[command(subcommand)]
    Clock(clock::Clock),
    #[command(subcommand)]
    Ceremony(ceremony::Ceremony),
    #[command(subcommand)]
    Issuer(issuer::Issuer),
    #[command(subcommand)]
    Officer(officer::Officer),
    #[command(subcommand)]
    Controller(controller::Controller),
    #[command(subcommand)]
    Grant(grant::Grant),
    #[command(subcommand)]
    Proposal(proposal::Proposal),
    Issue(issue::Issue),
    Renew(renew::Renew),
    #[command(subcommand)]
    Agent(agent::Agent),
    #[command(subcommand)]
    Cert(cert::Cert),
    #[command(subcommand)]
    Ca(ca::Ca),
    #[command(subcommand)]
    Journal(journal::Journal),
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    #[command(subcommand)]
    Custody(custody::Custody),
    Lint(lint::Lint),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Completions(shell::Completions),
    #[command(hide = true)]
    Man(shell::Man),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// Every command below this one, itself included.
    fn all(command: &clap::Command) -> Vec<&clap::Command> {
        let below = command.get_subcommands().flat_map(all);
        std::iter::once(command).chain(below).collect()
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_how() {
        let cli = Cli::command();
        for command in all(&cli) {
            let name = command.get_name();
            assert!(command.get_about().is_some_and(|about| about.to_string().len() > 10), "{name}: no help");
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{name}: no help for {}", argument.get_id());
            }
            let shown = !command.is_hide_set() && !command.has_subcommands() && name != "help";
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(!shown || example.contains("rootcellar "), "{name}: no example");
        }
    }

    #[test]
    fn a_command_that_says_nothing_is_refused() {
        assert!(Cli::try_parse_from(["rootcellar"]).is_err());
        assert!(Cli::try_parse_from(["rootcellar", "status", "--output", "xml"]).is_err());
        assert!(Cli::try_parse_from(["rootcellar", "status", "--output", "json", "-vv"]).is_ok());
    }
}
