//! Places for connections of which it is not known yet whose they are: bounded apart, in all and for each address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bits of an IPv6 address that name a network: whoever has one has all addresses in it (RFC 4291 §2.5.4).
const NETWORK_BITS: u32 = 64;

/// Who is at the door.
#[derive(Debug)]
pub(crate) struct Strangers {
    most: usize,
    most_of_one: usize,
    /// How many of each address; no address without one, so that it has at most as many entries as there are places.
    inside: Mutex<HashMap<IpAddr, usize>>,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    strangers: Arc<Strangers>,
    address: IpAddr,
}

impl Strangers {
    /// So many places, and so many of them for one address.
    pub(crate) fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_one, inside: Mutex::default() })
    }

    /// A place for one from this address; none where it has too many, or all have.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut inside = self.lock();
        let of_this = inside.get(&address).copied().unwrap_or(0);
        if of_this >= self.most_of_one || inside.values().sum::<usize>() >= self.most {
            return None;
        }
        inside.insert(address, of_this + 1);
        Some(Place { strangers: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // No one panics while holding it; the map is whole at every moment.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.strangers.lock();
        match inside.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                inside.remove(&self.address);
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
    fn places_are_bounded_in_all_and_for_each_address_and_free_again() {
        let strangers = Strangers::new(3, 2);
        let enter = |address: &str| strangers.enter(address.parse().unwrap());
        let first = enter("192.0.2.1").unwrap();
        let _second = enter("192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none(), "too many of one");
        // The same in IPv6's form (RFC 4291 §2.5.5.2).
        assert!(enter("::ffff:192.0.2.1").is_none());
        let third = enter("192.0.2.2").unwrap();
        assert!(enter("192.0.2.3").is_none(), "too many in all");
        drop(first);
        let _fourth = enter("192.0.2.1").unwrap();
        drop(third);
        assert_eq!(strangers.lock().len(), 1);
    }

    #[test]
    fn an_ipv6_network_is_one() {
        let strangers = Strangers::new(8, 1);
        let _first = strangers.enter("2001:db8::1".parse().unwrap()).unwrap();
        assert!(strangers.enter("2001:db8::2".parse().unwrap()).is_none());
        assert!(strangers.enter("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
