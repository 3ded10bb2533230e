//! Places for those who come: bounded in all, and for each of them, so that one cannot take what is for many.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bits of an IPv6 address that name a network: whoever has one has all addresses in it (RFC 4291 §2.5.4).
const NETWORK_BITS: u32 = 64;

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

impl Places<IpAddr> {
    /// A place for one from this address, or for its network.
    pub(crate) fn take_from(self: &Arc<Self>, address: IpAddr) -> Option<Place<IpAddr>> {
        self.take(network(address))
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

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> NETWORK_BITS << NETWORK_BITS;
            Ipv6Addr::from_bits(bits).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_for_each_and_free_again() {
        let places = Places::new(3, 2);
        let take = |address: &str| places.take_from(address.parse().unwrap());
        let first = take("192.0.2.1").unwrap();
        let _second = take("192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none(), "too many of one");
        // The same in IPv6's form (RFC 4291 §2.5.5.2).
        assert!(take("::ffff:192.0.2.1").is_none());
        let third = take("192.0.2.2").unwrap();
        assert!(take("192.0.2.3").is_none(), "too many in all");
        drop(first);
        let _fourth = take("192.0.2.1").unwrap();
        drop(third);
        let taken = places.lock();
        assert_eq!((taken.all, taken.of.len()), (2, 1));
    }

    #[test]
    fn an_ipv6_network_is_one() {
        let places = Places::new(8, 1);
        let _first = places.take_from("2001:db8::1".parse().unwrap()).unwrap();
        assert!(places.take_from("2001:db8::2".parse().unwrap()).is_none());
        assert!(places.take_from("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
