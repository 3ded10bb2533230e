//! The journal's tables, made anew from its entries.

use serde::Serialize;

use super::Rebuild;
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;

pub(super) fn run(session: &Session, args: &Rebuild) -> Result<(), Failure> {
    let failed = |error| Failure::new("JOURNAL", error);
    let dir = session.places()?.data().to_owned();
    let mut journal = keeper::Journal::open(&dir).map_err(failed)?;
    let rebuilt = journal.rebuild(args.replace).map_err(failed)?;
    let (differing, replaced) = (rebuilt.differing.clone(), rebuilt.replaced);
    session.output().say(&Shown(rebuilt))?;
    if differing.is_empty() || replaced {
        return Ok(());
    }
    Err(Failure::new(
        "TABLES_DIFFER",
        format!("these tables are not as the entries say: {}", differing.join(", ")),
    )
    .mended_by("rootcellar ledger rebuild --replace"))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(keeper::Rebuilt);

impl Show for Shown {
    fn show(&self, page: &mut Page) {
        let Self(rebuilt) = self;
        page.field("entries", rebuilt.entries);
        page.field("signatures", format!("{}, each by the key its entry names", rebuilt.signatures));
        page.field("root", &rebuilt.root);
        page.head(["table", "rows", "state"]);
        for (table, rows) in &rebuilt.tables {
            let state = match (rebuilt.differing.contains(table), rebuilt.replaced) {
                (false, _) => "as the entries say",
                (true, false) => "differs",
                (true, true) => "replaced",
            };
            page.row([(*table).to_owned(), rows.to_string(), state.to_owned()]);
        }
    }
}
