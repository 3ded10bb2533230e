//! Flags of every command.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::output::Format;

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Configuration file [default: DATA_DIR/rootcellar.toml where there is one]
    #[arg(long, global = true, value_name = "FILE", env = "ROOTCELLAR_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The service's directory [default: $XDG_DATA_HOME/rootcellar, ~/.local/share/rootcellar]
    #[arg(long, global = true, value_name = "DIR", env = "ROOTCELLAR_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The officer's directory [default: $XDG_CONFIG_HOME/rootcellar/officer, ~/.config/rootcellar/officer]
    #[arg(long, global = true, value_name = "DIR", env = "ROOTCELLAR_OFFICER_DIR")]
    pub(crate) officer_dir: Option<PathBuf>,
    /// Form of the output; colour is for terminals, and NO_COLOR refuses it
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value_t)]
    pub(crate) output: Format,
    /// Say more; twice, still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}
