//! What is asked for: a kind of ceremony, its tokens and its terms.

use std::path::{Path, PathBuf};

use ceremony::plans::{ISSUER_DAYS, ROOT_DAYS};
use clap::{Args, Subcommand};
use hsm_config::KeyAlgorithm;
use ledger::note::VerifierKey;

use crate::spec::Lifetime;
use crate::tokens::Which;

/// Write a plan, for officers to approve: what is done, in which tokens, by which keys
#[derive(Debug, Subcommand)]
pub(crate) enum Plan {
    Found(Found),
    Root(Root),
    /// Another issuing key that stands ready in another token, with a log key beside it
    #[command(after_help = "Example:\n  rootcellar ceremony plan issuer --token standby --out issuer-2")]
    Issuer(Issuing),
    LogKey(LogKey),
    Cross(Cross),
    /// Another issuing key that is to take the place of the one that signs
    #[command(after_help = "\
Import it, then `rootcellar issuer activate` has it sign; the key before is ended by `rootcellar ceremony plan retirement`.

Example:
  rootcellar ceremony plan rotation --token issuing --out issuer-2")]
    Rotation(Issuing),
    Retirement(Retirement),
    RootCrl(RootCrl),
    Charter(NewCharter),
    Bundle(NewBundle),
}

/// Where a plan goes, and for how long it is good.
#[derive(Clone, Debug, Args)]
pub(crate) struct Written {
    /// The ceremony's directory, new or empty
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// How long the plan may be executed, up to 31d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub(super) expires: Lifetime,
}

/// A new cell of several officers: root, issuing and log key, in the tokens of the configuration
#[derive(Debug, Args)]
#[command(after_help = "\
Each officer makes a key with `rootcellar officer create NAME` and hands over the public half.

Example:
  rootcellar ceremony plan found --quorum 2 --officer KEY --officer KEY --officer KEY --out found")]
pub(crate) struct Found {
    /// How many officers an act needs
    #[arg(long, value_name = "N")]
    pub(super) quorum: u8,
    /// The officers' public keys
    #[arg(long, value_name = "KEY", required = true)]
    pub(super) officer: Vec<VerifierKey>,
    #[command(flatten)]
    pub(super) written: Written,
}

/// Another root, in a token of the configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar ceremony plan root --out root-2")]
pub(crate) struct Root {
    /// Kind of its key [default: the configuration's]
    #[arg(long, value_name = "KIND")]
    pub(super) algorithm: Option<KeyAlgorithm>,
    /// Days for which it is valid
    #[arg(long, default_value_t = ROOT_DAYS)]
    pub(super) days: u32,
    #[command(flatten)]
    pub(super) written: Written,
}

/// A key that issues, and its certificate.
#[derive(Debug, Args)]
pub(crate) struct Issuing {
    /// The token for the key
    #[arg(long, value_enum, default_value_t = Which::Standby)]
    pub(super) token: Which,
    /// Kind of its key [default: the configuration's]
    #[arg(long, value_name = "KIND")]
    pub(super) algorithm: Option<KeyAlgorithm>,
    /// Days for which its certificate is valid
    #[arg(long, default_value_t = ISSUER_DAYS)]
    pub(super) days: u32,
    /// SHA-256 of the public key of the root that signs [default: the newest root's]
    #[arg(long, value_name = "SHA256")]
    pub(super) signer: Option<String>,
    #[command(flatten)]
    pub(super) written: Written,
}

/// Another key for the log
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar ceremony plan log-key --token standby --out log-2")]
pub(crate) struct LogKey {
    /// The token for the key
    #[arg(long, value_enum, default_value_t = Which::Standby)]
    pub(super) token: Which,
    #[command(flatten)]
    pub(super) written: Written,
}

/// A certificate by which one root vouches for another, where the trust bundle has two
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  rootcellar ceremony plan cross --subject SHA256 --signer SHA256 --out cross"
)]
pub(crate) struct Cross {
    /// SHA-256 of the public key of the root that is vouched for
    #[arg(long, value_name = "SHA256")]
    pub(super) subject: String,
    /// SHA-256 of the public key of the root that vouches
    #[arg(long, value_name = "SHA256")]
    pub(super) signer: String,
    /// Days for which it is valid
    #[arg(long, default_value_t = ISSUER_DAYS)]
    pub(super) days: u32,
    #[command(flatten)]
    pub(super) written: Written,
}

/// The end of a key: it is destroyed in its token, looked for, and not found
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  rootcellar ceremony plan retirement --key SHA256 --token issuing --out retire-1"
)]
pub(crate) struct Retirement {
    /// SHA-256 of its public key
    #[arg(long, value_name = "SHA256")]
    pub(super) key: String,
    /// Its token
    #[arg(long, value_enum)]
    pub(super) token: Which,
    #[command(flatten)]
    pub(super) written: Written,
}

/// A CRL of the root: the certificates of issuers that count no more
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rootcellar ceremony plan root-crl --number 1 --revoke 1a2b3c=superseded --out root-crl-1")]
pub(crate) struct RootCrl {
    /// CRL number, higher than that of the one before
    #[arg(long)]
    pub(super) number: u64,
    /// Days until the next one
    #[arg(long, default_value_t = 90)]
    pub(super) days: u32,
    /// A certificate's serial number in hexadecimal digits, and why it is revoked
    #[arg(long, value_name = "SERIAL=REASON")]
    pub(super) revoke: Vec<String>,
    /// SHA-256 of the public key of the root that signs [default: the newest root's]
    #[arg(long, value_name = "SHA256")]
    pub(super) signer: Option<String>,
    #[command(flatten)]
    pub(super) written: Written,
}

/// The charter that follows: other officers, or another quorum, with the trust bundle that they sign
#[derive(Debug, Args)]
#[command(after_help = "\
A quorum of the officers before approves the charter, a quorum of those it names the bundle.

Example:
  rootcellar ceremony plan charter --quorum 2 --officer KEY --officer KEY --officer KEY --out charter-2")]
pub(crate) struct NewCharter {
    /// How many officers an act needs from then on
    #[arg(long, value_name = "N")]
    pub(super) quorum: u8,
    /// The public keys of all officers from then on
    #[arg(long, value_name = "KEY", required = true)]
    pub(super) officer: Vec<VerifierKey>,
    /// The ceremony's directory, new or empty
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
}

/// The trust bundle that follows, without a root or a key of a log: the last step of their rotation. It makes and ends no key
#[derive(Debug, Args)]
#[command(after_help = "\
Approve it, then import it. A root goes once no issuer that signs or stands ready leads to it alone, every client has the bundle with \
the other one, and every controller and agent a certificate under it; a key of a log once no checkpoint is signed with it.

Examples:
  rootcellar ceremony plan bundle --without-root SHA256 --out bundle-5
  rootcellar ceremony plan bundle --without-log-key cell.internal/log/1+1a2b3c4d --out bundle-5")]
pub(crate) struct NewBundle {
    /// SHA-256 of the public key of a root that clients are to believe no more
    #[arg(long, value_name = "SHA256", required_unless_present = "without_log_key")]
    pub(super) without_root: Vec<String>,
    /// Key of a log whose checkpoints are to count no more: NAME+HASH, the beginning of its line in the trust bundle, or the HASH alone
    #[arg(long, value_name = "NAME+HASH")]
    pub(super) without_log_key: Vec<String>,
    /// The ceremony's directory, new or empty
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
}

impl Plan {
    /// Where it goes.
    pub(super) fn out(&self) -> &Path {
        match self {
            Self::Charter(args) => &args.out,
            Self::Bundle(args) => &args.out,
            Self::Found(args) => &args.written.out,
            Self::Root(args) => &args.written.out,
            Self::Issuer(args) | Self::Rotation(args) => &args.written.out,
            Self::LogKey(args) => &args.written.out,
            Self::Cross(args) => &args.written.out,
            Self::Retirement(args) => &args.written.out,
            Self::RootCrl(args) => &args.written.out,
        }
    }

    /// For how many seconds it is good; 0 of what is no plan to be executed, and never expires.
    pub(super) fn expires_secs(&self) -> u32 {
        match self {
            Self::Charter(_) | Self::Bundle(_) => 0,
            Self::Found(args) => args.written.expires.secs(),
            Self::Root(args) => args.written.expires.secs(),
            Self::Issuer(args) | Self::Rotation(args) => args.written.expires.secs(),
            Self::LogKey(args) => args.written.expires.secs(),
            Self::Cross(args) => args.written.expires.secs(),
            Self::Retirement(args) => args.written.expires.secs(),
            Self::RootCrl(args) => args.written.expires.secs(),
        }
    }
}
