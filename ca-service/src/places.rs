//! Places for those who are known: bounded in all, and for each of them, so that one cannot take what is for many.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Places, and who has them.
#[derive(Debug)]
pub(crate) struct Places<K: Eq + Hash> {
    most: usize,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    /// How many each has; none without one, so that it has at most as many entries as there are places.
    of: HashMap<K, usize>,
}

/// A place, or several; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    who: K,
    wide: usize,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// So many places.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::new(Taken { all: 0, of: HashMap::new() }) })
    }

    /// A place for this one, who may have so many; none where it has them, or all are taken.
    pub(crate) fn take(self: &Arc<Self>, who: K, most_of_one: usize) -> Option<Place<K>> {
        self.take_wide(who, most_of_one, 1)
    }

    /// The same of so many at once. What is wider than all that one may have takes all that one may have.
    pub(crate) fn take_wide(self: &Arc<Self>, who: K, most_of_one: usize, wide: usize) -> Option<Place<K>> {
        let mut taken = self.lock();
        let (of_this, wide) = (taken.of.get(&who).copied().unwrap_or(0), wide.min(most_of_one));
        if of_this.saturating_add(wide) > most_of_one || taken.all.saturating_add(wide) > self.most {
            return None;
        }
        taken.all += wide;
        taken.of.insert(who.clone(), of_this + wide);
        Some(Place { places: Arc::clone(self), who, wide })
    }
}

impl<K: Eq + Hash> Places<K> {
    fn lock(&self) -> MutexGuard<'_, Taken<K>> {
        // No one panics while holding it; it is whole at every moment.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= self.wide;
        match taken.of.get_mut(&self.who) {
            Some(count) if *count > self.wide => *count -= self.wide,
            _ => {
                taken.of.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_for_each_and_free_again() {
        let places = Places::new(3);
        let first = places.take("a", 2).unwrap();
        let _second = places.take("a", 2).unwrap();
        assert!(places.take("a", 2).is_none(), "too many of one");
        let third = places.take("b", 2).unwrap();
        assert!(places.take("c", 2).is_none(), "too many in all");
        drop(first);
        let _fourth = places.take("a", 2).unwrap();
        drop(third);
        let taken = places.lock();
        assert_eq!((taken.all, taken.of.len()), (2, 1));
    }

    #[test]
    fn what_is_wide_takes_as_many() {
        let places = Places::new(8);
        let widest = places.take_wide("a", 4, 100).unwrap();
        assert!(places.take("a", 4).is_none(), "all that one may have");
        let _other = places.take_wide("b", 4, 3).unwrap();
        assert!(places.take_wide("c", 4, 2).is_none() && places.take_wide("c", 4, 1).is_some());
        drop(widest);
        assert_eq!(places.lock().all, 3);
    }
}
