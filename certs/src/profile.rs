//! The kinds of certificates, and what bounds each.

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// An agent's: a SPIFFE X.509-SVID, client and server.
    Agent,
    /// A controller's: a client of this service.
    Controller,
    /// A service's, such as the front's own: client and server, with the addresses it is reached by.
    Service,
    /// The mesh issuer's: signs leaves only.
    Issuer,
    /// The root's: signs issuers.
    Root,
}

/// Seconds in a day.
const DAY_SECS: u64 = 86_400;

impl Profile {
    /// The longest lifetime, in seconds, both ends included.
    pub fn max_lifetime_secs(self) -> u64 {
        match self {
            Self::Agent => DAY_SECS,
            Self::Controller | Self::Service => 7 * DAY_SECS,
            Self::Issuer => 366 * DAY_SECS,
            Self::Root => 3660 * DAY_SECS,
        }
    }

    /// Whether it certifies others.
    pub fn is_ca(self) -> bool {
        matches!(self, Self::Issuer | Self::Root)
    }
}
