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
    most_of_one: usize,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    /// How many each has; none without one, so that it has at most as many entries as there are places.
    of: HashMap<K, usize>,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    who: K,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// So many places, and so many of them for one.
    pub(crate) fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_one, taken: Mutex::new(Taken { all: 0, of: HashMap::new() }) })
    }

    /// A place for this one; none where it has too many, or all are taken.
    pub(crate) fn take(self: &Arc<Self>, who: K) -> Option<Place<K>> {
        let mut taken = self.lock();
        let of_this = taken.of.get(&who).copied().unwrap_or(0);
        if of_this >= self.most_of_one || taken.all >= self.most {
            return None;
        }
        taken.all += 1;
        taken.of.insert(who.clone(), of_this + 1);
        Some(Place { places: Arc::clone(self), who })
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
        taken.all -= 1;
        match taken.of.get_mut(&self.who) {
            Some(count) if *count > 1 => *count -= 1,
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
        let places = Places::new(3, 2);
        let first = places.take("a").unwrap();
        let _second = places.take("a").unwrap();
        assert!(places.take("a").is_none(), "too many of one");
        let third = places.take("b").unwrap();
        assert!(places.take("c").is_none(), "too many in all");
        drop(first);
        let _fourth = places.take("a").unwrap();
        drop(third);
        let taken = places.lock();
        assert_eq!((taken.all, taken.of.len()), (2, 1));
    }
}
