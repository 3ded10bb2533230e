//! Long looks at keys: one at a time, beside all else, and no caller before another's turn.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, spawn_blocking},
};

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Looks {
    /// One for all: a core at most goes to it.
    all: Arc<Semaphore>,
    /// One for each caller who waits: the others of its own wait behind that one, and not before others.
    of: Mutex<HashMap<Arc<str>, Weak<Semaphore>>>,
}

impl Default for Looks {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(1)), of: Mutex::default() }
    }
}

impl Looks {
    /// Looks, once it is this caller's turn. A look that has begun goes on where nobody waits for it any more, and is still the only one.
    ///
    /// # Errors
    /// It panicked.
    pub(crate) async fn take<T: Send + 'static>(
        &self,
        who: &Arc<str>,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let own = self.of(who);
        let turns: [Option<OwnedSemaphorePermit>; 2] =
            [own.acquire_owned().await.ok(), Arc::clone(&self.all).acquire_owned().await.ok()];
        spawn_blocking(move || {
            let seen = look();
            drop(turns);
            seen
        })
        .await
    }

    fn of(&self, who: &Arc<str>) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = of.get(who).and_then(Weak::upgrade) {
            return own;
        }
        of.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(1));
        of.insert(Arc::clone(who), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::time::{Duration, timeout};

    use super::*;

    #[tokio::test]
    async fn nobody_looks_beside_another_and_none_waits_behind_all_of_one() {
        let looks = Arc::new(Looks::default());
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let (go, hold) = mpsc::channel::<()>();
        let (told, order) = mpsc::channel();
        // Whoever gives up leaves the look behind, and its turn with it.
        let begun = told.clone();
        let first = looks.take(&one, move || {
            begun.send("begun").unwrap();
            hold.recv()
        });
        assert!(timeout(Duration::from_millis(50), first).await.is_err());
        assert_eq!(order.recv().unwrap(), "begun");
        let mut waiting = Vec::new();
        for name in ["one", "one", "one", "other"] {
            let (looks, told) = (Arc::clone(&looks), told.clone());
            let who = if name == "one" { Arc::clone(&one) } else { Arc::clone(&other) };
            waiting.push(tokio::spawn(async move { looks.take(&who, move || told.send(name)).await }));
            tokio::task::yield_now().await;
        }
        assert!(order.try_recv().is_err(), "one at a time");
        go.send(()).unwrap();
        for look in waiting {
            look.await.unwrap().unwrap().unwrap();
        }
        let order: Vec<&str> = order.try_iter().collect();
        assert!(order.iter().position(|name| *name == "other").unwrap() <= 1, "{order:?}");
        assert!(looks.of.lock().unwrap().len() <= 2);
    }
}
