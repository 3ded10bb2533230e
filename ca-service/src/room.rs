//! Where those wait who have not said yet who they are: bounded in all and for each address. When it is full, whoever has been silent longest
//! goes, and the newcomer stays: one who has something to say has said it long before it is the oldest.
//!
//! Does not: bound what anyone does who is known. Those have places of their own ([`crate::places`]).

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::recent::Recent;

/// Bits of an IPv6 address that name a network: whoever has one has all addresses in it (RFC 4291 §2.5.4).
const NETWORK_BITS: u32 = 64;

/// Addresses that are remembered, twice over: some 100 KiB.
const REMEMBERED: usize = 4096;

/// A room and who is in it.
#[derive(Debug)]
pub(crate) struct Room {
    most: usize,
    most_of_one: usize,
    /// Nobody goes who has been silent for less.
    patience: Duration,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    guests: HashMap<u64, Seat>,
    /// How many each address has; none without one.
    of: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Seat {
    address: IpAddr,
    /// Since when it has been its turn to say something; none while it is ours.
    silent: Option<Instant>,
    /// Told when it has to go.
    go: Arc<Notify>,
}

/// Someone in a room, until dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    room: Arc<Room>,
    number: u64,
    go: Arc<Notify>,
}

impl Room {
    /// So many guests, and so many of them of one address.
    pub(crate) fn new(most: usize, most_of_one: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self { most, most_of_one, patience, inside: Mutex::default() })
    }

    /// Lets someone in; none where everyone inside has just come, or is waiting for us.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Guest> {
        let (address, now) = (network(address), Instant::now());
        let mut inside = self.lock();
        let of_this = inside.of.get(&address).copied().unwrap_or(0);
        if of_this >= self.most_of_one {
            inside.make_room(now, self.patience, |seat| seat.address == address)?;
        } else if inside.guests.len() >= self.most {
            inside.make_room(now, self.patience, |_| true)?;
        }
        let number = inside.next;
        inside.next += 1;
        let go = Arc::new(Notify::new());
        inside.guests.insert(number, Seat { address, silent: Some(now), go: Arc::clone(&go) });
        *inside.of.entry(address).or_default() += 1;
        Some(Guest { room: Arc::clone(self), number, go })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // No one panics while holding it; it is whole at every moment.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Sends away whoever of these has been silent longest; none where nobody has been for long.
    fn make_room(&mut self, now: Instant, patience: Duration, of: impl Fn(&Seat) -> bool) -> Option<()> {
        let silent = |(number, seat): (&u64, &Seat)| Some((seat.silent.filter(|_| of(seat))?, *number));
        let (since, number) = self.guests.iter().filter_map(silent).min()?;
        if now - since < patience {
            return None;
        }
        self.leave(number).map(|seat| seat.go.notify_one())
    }

    fn leave(&mut self, number: u64) -> Option<Seat> {
        let seat = self.guests.remove(&number)?;
        match self.of.get_mut(&seat.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.of.remove(&seat.address);
            }
        }
        Some(seat)
    }
}

impl Guest {
    /// It has said something, and waits for us.
    pub(crate) fn heard(&self) {
        self.turn(None);
    }

    /// It is its turn again.
    pub(crate) fn answered(&self) {
        self.turn(Some(Instant::now()));
    }

    fn turn(&self, silent: Option<Instant>) {
        if let Some(seat) = self.room.lock().guests.get_mut(&self.number) {
            seat.silent = silent;
        }
    }

    /// Returns when it has to go.
    pub(crate) async fn sent_away(&self) {
        self.go.notified().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Unless it was sent away.
        let _ = self.room.lock().leave(self.number);
    }
}

/// Two rooms: one for addresses from which someone known has come lately, and one for all others, who cannot fill the first.
#[derive(Debug)]
pub(crate) struct Lobby {
    known: Arc<Room>,
    strangers: Arc<Room>,
    met: Mutex<Recent<IpAddr>>,
}

impl Lobby {
    /// As of two rooms of this size.
    pub(crate) fn new(most: usize, most_of_one: usize, patience: Duration) -> Arc<Self> {
        let room = || Room::new(most, most_of_one, patience);
        Arc::new(Self { known: room(), strangers: room(), met: Mutex::new(Recent::new(REMEMBERED)) })
    }

    /// See [`Room::enter`].
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Guest> {
        let room = if self.met().has(&network(address)) { &self.known } else { &self.strangers };
        room.enter(address)
    }

    /// Someone from there has said who they are, and it was true.
    pub(crate) fn meet(&self, address: IpAddr) {
        self.met().add(network(address));
    }

    fn met(&self) -> MutexGuard<'_, Recent<IpAddr>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
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
    use tokio::time::{advance, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(250);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    async fn is_inside(guest: &Guest) -> bool {
        timeout(Duration::ZERO, guest.sent_away()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_silent_longest_goes_when_it_is_full() {
        let room = Room::new(3, 2, PATIENCE);
        let first = room.enter(address(1)).unwrap();
        advance(PATIENCE).await;
        let second = room.enter(address(2)).unwrap();
        let third = room.enter(address(3)).unwrap();
        first.heard();
        assert!(room.enter(address(4)).is_none(), "one waits for us, the others have just come");
        first.answered();
        advance(PATIENCE / 2).await;
        third.answered();
        advance(PATIENCE / 2).await;
        second.answered();
        let fourth = room.enter(address(4)).unwrap();
        let inside = [is_inside(&first).await, is_inside(&second).await, is_inside(&third).await];
        assert_eq!(inside, [false, true, true], "the first was answered before the third came in");
        drop((first, second, third, fourth));
        let inside = room.lock();
        assert_eq!((inside.guests.len(), inside.of.len()), (0, 0), "who was sent away leaves once");
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_makes_room_for_itself_alone() {
        let room = Room::new(8, 2, PATIENCE);
        let other = room.enter(address(2)).unwrap();
        advance(PATIENCE).await;
        // The same in IPv6's form (RFC 4291 §2.5.5.2).
        let first = room.enter("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        let second = room.enter(address(1)).unwrap();
        advance(PATIENCE).await;
        second.answered();
        let _third = room.enter(address(1)).unwrap();
        assert!(!is_inside(&first).await);
        assert!(is_inside(&second).await && is_inside(&other).await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_network_is_one() {
        let room = Room::new(8, 1, PATIENCE);
        let _first = room.enter("2001:db8::1".parse().unwrap()).unwrap();
        assert!(room.enter("2001:db8::2".parse().unwrap()).is_none());
        assert!(room.enter("2001:db8:0:1::1".parse().unwrap()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_take_no_place_of_those_who_were_there_before() {
        let lobby = Lobby::new(1, 1, PATIENCE);
        lobby.meet(address(1));
        let known = lobby.enter(address(1)).unwrap();
        advance(PATIENCE).await;
        let _stranger = lobby.enter(address(2)).unwrap();
        assert!(lobby.enter(address(3)).is_none());
        assert!(is_inside(&known).await);
    }
}
