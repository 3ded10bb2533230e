//! Who waits for which answer at one door.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::door::answer;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Who waits for which answer; None once the door is dead, so that nobody begins to wait at it.
#[derive(Debug)]
pub(super) struct Waiting(Mutex<Option<HashMap<u64, Asker>>>);

/// One who waits. The permit is free again with the answer, also where its asker has not looked at it yet.
#[derive(Debug)]
struct Asker {
    answer: oneshot::Sender<answer::Answer>,
    _permit: OwnedSemaphorePermit,
}

impl Waiting {
    /// Nobody yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(HashMap::new()))))
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().as_ref().map_or(0, HashMap::len)
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, Asker>>> {
        // No one panics while holding it; the map is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait; None at a dead door. The entry goes when the place is dropped.
    pub(super) fn begin(
        self: &Arc<Self>,
        id: u64,
        permit: OwnedSemaphorePermit,
    ) -> Option<(Place, oneshot::Receiver<answer::Answer>)> {
        let (answer, receiver) = oneshot::channel();
        self.lock().as_mut()?.insert(id, Asker { answer, _permit: permit });
        Some((Place { waiting: Arc::clone(self), id }, receiver))
    }

    /// Answers whoever waits for this; nobody does when the asker has left.
    pub(super) fn end(&self, id: u64, answer: answer::Answer) {
        let asker = self.lock().as_mut().and_then(|waiting| waiting.remove(&id));
        // An asker that left between is no loss.
        if let Some(asker) = asker {
            let _ = asker.answer.send(answer);
        }
    }
}

/// An asker's entry; gone with the asker.
pub(super) struct Place {
    waiting: Arc<Waiting>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.lock().as_mut() {
            waiting.remove(&self.id);
        }
    }
}

/// Tells everyone who waits, when it is dropped, that the door is dead.
pub(super) struct CloseAtEnd(Arc<Waiting>);

impl CloseAtEnd {
    pub(super) fn new(waiting: &Arc<Waiting>) -> Self {
        Self(Arc::clone(waiting))
    }
}

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        // Dropping the senders tells every asker.
        self.0.lock().take();
    }
}
