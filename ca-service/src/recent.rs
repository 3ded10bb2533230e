//! What was seen lately, bounded: when one generation is full, the one before is forgotten.

use std::{borrow::Borrow, collections::HashSet, hash::Hash};

/// At least the latest `each`, at most twice as many.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    each: usize,
    lately: HashSet<T>,
    before: HashSet<T>,
}

impl<T: Eq + Hash> Recent<T> {
    /// Nothing yet.
    pub(crate) fn new(each: usize) -> Self {
        Self { each, lately: HashSet::new(), before: HashSet::new() }
    }

    /// Remembers it.
    pub(crate) fn add(&mut self, seen: T) {
        if self.lately.len() >= self.each {
            self.before = std::mem::take(&mut self.lately);
        }
        self.lately.insert(seen);
    }

    /// Forgets it.
    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, seen: &Q)
    where
        T: Borrow<Q>,
    {
        self.lately.remove(seen);
        self.before.remove(seen);
    }

    /// Whether it is remembered.
    pub(crate) fn has<Q: Eq + Hash + ?Sized>(&self, seen: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.lately.contains(seen) || self.before.contains(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest() {
        const EACH: u32 = 4096;
        let mut recent = Recent::new(EACH as usize);
        let many = 5 * EACH;
        (0..many).for_each(|number| recent.add(number));
        assert!(recent.lately.len() + recent.before.len() <= 2 * EACH as usize);
        assert!((many - EACH..many).all(|number| recent.has(&number)) && !recent.has(&0));
        recent.remove(&(many - EACH));
        assert!(!recent.has(&(many - EACH)));
    }
}
