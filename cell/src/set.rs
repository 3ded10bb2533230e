//! Sets with a bound: sorted, without duplicates, and never larger than they say.

/// A sorted set of at most `MAX` values. Duplicates in the input are folded into one.
///
/// Sorted, so that two equal sets are one text and one encoding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoundedSet<T, const MAX: usize>(Vec<T>);

/// The caller's fault: more distinct values than the set may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{found} different values, of which at most {max} are allowed")]
pub struct TooMany {
    /// How many distinct values there were.
    pub found: usize,
    /// How many are allowed.
    pub max: usize,
}

impl<T, const MAX: usize> BoundedSet<T, MAX> {
    /// The set without values.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// The values in order.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl<T: Ord, const MAX: usize> BoundedSet<T, MAX> {
    /// Whether the value is in the set.
    pub fn contains(&self, value: &T) -> bool {
        self.0.binary_search(value).is_ok()
    }
}

impl<T: Ord, const MAX: usize> TryFrom<Vec<T>> for BoundedSet<T, MAX> {
    type Error = TooMany;

    fn try_from(mut values: Vec<T>) -> Result<Self, TooMany> {
        values.sort_unstable();
        values.dedup();
        if values.len() > MAX {
            return Err(TooMany { found: values.len(), max: MAX });
        }
        Ok(Self(values))
    }
}

impl<T, const MAX: usize> Default for BoundedSet<T, MAX> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a BoundedSet<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Three = BoundedSet<u8, 3>;

    #[test]
    fn it_sorts_and_folds() {
        assert_eq!(Three::try_from(vec![3, 1, 3, 1, 1]).unwrap().as_slice(), [1, 3]);
    }

    #[test]
    fn the_bound_counts_distinct_values() {
        assert_eq!(Three::try_from(vec![1, 2, 3, 3]).unwrap().len(), 3);
        assert_eq!(Three::try_from(vec![1, 2, 3, 4]).unwrap_err(), TooMany { found: 4, max: 3 });
    }

    #[test]
    fn the_empty_set_holds_nothing() {
        assert!(Three::empty().is_empty() && !Three::default().contains(&0));
    }
}
