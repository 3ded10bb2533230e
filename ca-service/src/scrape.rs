//! One page of metrics: the front's own, then the keeper's, as one OpenMetrics text.

use std::{sync::Arc, time::Duration};

use proto::door::{GetMetrics, Metrics as Measured, ask::Ask};

use crate::{
    Clock, Keeper,
    call::pick,
    metrics::{Metrics, Moment},
    own_certificate::OwnCertificate,
};

/// Time for the keeper to say what it measures. A scraper waits no longer than some seconds for both.
const KEEPER: Duration = Duration::from_secs(1);

/// The last line of a text (OpenMetrics 1.0, "Overall Structure").
const END: &str = "# EOF\n";

/// Where the parts of a page are.
pub(crate) struct Scrape {
    /// The front's.
    pub(crate) metrics: Metrics,
    /// Who is asked for the rest.
    pub(crate) keeper: Keeper,
    /// Whose days are counted.
    pub(crate) own: Arc<OwnCertificate>,
    /// Milliseconds since 1970.
    pub(crate) clock: Clock,
}

impl Scrape {
    /// The page of this moment. Without the keeper it is the front's alone, and says so.
    pub(crate) async fn page(&self) -> String {
        let keepers = self.keepers().await;
        let now = Moment {
            keeper_up: keepers.is_some(),
            door_open: *self.keeper.presence().borrow(),
            asks: self.keeper.in_flight(),
            certificate_secs: self.own.secs_left((self.clock)()).unwrap_or(0),
        };
        joined(self.metrics.text(now), keepers)
    }

    /// None where it does not answer, or not with a whole text.
    async fn keepers(&self) -> Option<String> {
        let answer = self.keeper.ask_as_front(KEEPER, Ask::GetMetrics(GetMetrics {})).await.ok()?;
        let Measured { text } = pick!(GetMetrics)(answer)?;
        text.ends_with(END).then_some(text)
    }
}

/// Two texts as one: only the last has an end.
fn joined(front: String, keeper: Option<String>) -> String {
    match keeper {
        Some(keeper) => front.trim_end_matches(END).to_owned() + &keeper,
        None => front,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_page_has_one_end() {
        let front = || "a 1\n# EOF\n".to_owned();
        assert_eq!(joined(front(), Some("b 2\n# EOF\n".into())), "a 1\nb 2\n# EOF\n");
        assert_eq!(joined(front(), None), "a 1\n# EOF\n");
    }
}
