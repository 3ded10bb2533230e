//! Entries on the service's own word.

use ledger::entry::entry::Kind;
use ledger::entry::{Abandonment, Actor, ActorKind, Entry, Reference};

/// An entry on the service's own word.
pub(crate) fn own_entry(cell: &str, now_ms: i64, kind: Kind) -> Entry {
    let actor = Actor {
        kind: ActorKind::Service.into(),
        identity: crate::SERVICE_PATH.to_owned(),
        ..Actor::default()
    };
    Entry::new(cell, now_ms, actor, kind)
}

/// Says that the certificate of an entry was given up.
pub(crate) fn abandonment(origin: &str, index: u64, reason: &str) -> Kind {
    Kind::Abandonment(Abandonment {
        certificate: Some(Reference { origin: origin.to_owned(), index }),
        reason: reason.to_owned(),
    })
}
