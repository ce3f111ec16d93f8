//! Path MTU of tunnels (RFC 1191, RFC 8201): which outer packets get to a backend, learned from the ICMP errors of
//! routers on the way.
//!
//! Only what these errors tell of packets of ours is believed: the error comes to the address that the quoted packet
//! was sent from, the quoted packet is a tunnel's to a backend, and the packet inside it is one to a VIP. Routers that quote
//! only what RFC 792 asks for, 8 bytes behind the IPv4 header, are believed without the last of these.
//!
//! Pure code, as [`crate::neighbor`]: frames and time are handed in.

use crate::neighbor::bucket::Bucket;
use crate::quote::{self, Error, Inner, Trouble};
use guideway_dataplane::time::Nanos;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

/// How long a path MTU is remembered (RFC 1191 section 6.3, RFC 8201 section 4): then larger packets try again.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// No IPv4 path is taken to be narrower: what every host takes in (RFC 791 section 3.1).
pub const LEAST_V4: u16 = 576;
/// An IPv6 path is never narrower (RFC 8200 section 5).
pub const LEAST_V6: u16 = 1_280;
/// Changes a second: a change makes a snapshot.
const CHANGES_PER_SECOND: u64 = 100;
/// Changes that may come at one moment.
const CHANGE_BURST: u64 = 100;
/// Common MTUs, for routers that do not tell theirs (RFC 1191 section 5 and table 7-1).
const PLATEAUS: [u16; 8] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, LEAST_V4];

/// The way to a backend takes packets of this size and no larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The backend's address.
    pub backend_address: IpAddr,
    /// The largest outer packet, IP header included, in bytes.
    pub mtu: u16,
}

/// What is known of the paths to backends. Its size is bounded by the number of backends, whatever arrives.
#[derive(Debug)]
pub struct PathMtus {
    backends: HashSet<IpAddr>,
    known: HashMap<IpAddr, Known>,
    expiry: BTreeSet<(Nanos, IpAddr)>,
    bucket: Bucket,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    mtu: u16,
    until: Nanos,
}

impl Default for PathMtus {
    fn default() -> Self {
        Self::new()
    }
}

impl PathMtus {
    /// Nothing known, and nobody to know it of.
    #[must_use]
    pub fn new() -> Self {
        Self {
            backends: HashSet::new(),
            known: HashMap::new(),
            expiry: BTreeSet::new(),
            bucket: Bucket::new(CHANGES_PER_SECOND, CHANGE_BURST),
        }
    }

    /// Sets the addresses of the backends that are reached by tunnels. What is known of those that stay is kept, what is
    /// known of others is due to be forgotten.
    pub fn configure(&mut self, backends: &HashSet<IpAddr>) {
        self.backends.clone_from(backends);
        let Self { known, expiry, .. } = self;
        for (address, Known { until, .. }) in known.iter_mut().filter(|(address, _)| !backends.contains(address)) {
            expiry.remove(&(*until, *address));
            *until = Nanos(0);
            expiry.insert((*until, *address));
        }
    }

    /// Takes in an Ethernet frame without tags that came to an own address. `is_vip` tells whether an address is a VIP's.
    /// Returns what is new: a path MTU that is smaller than the one known.
    pub fn receive(&mut self, now: Nanos, frame: &[u8], is_vip: impl Fn(IpAddr) -> bool) -> Option<Learned> {
        let error = quote::parse(frame)?;
        let believed = match error.inner {
            Inner::To(destination) => is_vip(destination),
            Inner::Cut => true,
        };
        if !believed || !self.backends.contains(&error.destination) {
            return None;
        }
        let learned = Learned { backend_address: error.destination, mtu: next_size(&error)? };
        self.lower(now, learned).then_some(learned)
    }

    /// Takes over a smaller path MTU. Returns whether it is one, and is not one change too many.
    fn lower(&mut self, now: Nanos, Learned { backend_address, mtu }: Learned) -> bool {
        let entry = self.known.entry(backend_address);
        if matches!(&entry, Entry::Occupied(known) if known.get().mtu <= mtu) || !self.bucket.take(now) {
            return false;
        }
        let new = Known { mtu, until: now + LIFETIME };
        if let Entry::Occupied(known) = &entry {
            self.expiry.remove(&(known.get().until, backend_address));
        }
        entry.insert_entry(new);
        self.expiry.insert((new.until, backend_address));
        true
    }

    /// Forgets one path MTU whose time is over, and returns its backend's address. `None`: no more for now.
    pub fn forget_next(&mut self, now: Nanos) -> Option<IpAddr> {
        let (until, address) = self.expiry.first().copied().filter(|(until, _)| *until <= now)?;
        self.expiry.remove(&(until, address));
        self.known.remove(&address);
        Some(address)
    }

    /// The path MTU to a backend, if one is known.
    #[must_use]
    pub fn lookup(&self, backend_address: IpAddr) -> Option<u16> {
        self.known.get(&backend_address).map(|known| known.mtu)
    }
}

/// The size to send next, within the bounds of the family. An error about a packet that fits is nonsense, and so is one
/// that asks an IPv6 host for less than 1,280 bytes (RFC 8201 section 4).
fn next_size(error: &Error) -> Option<u16> {
    let Trouble::TooBig { mtu } = error.trouble else { return None };
    let told = match mtu {
        0 if error.destination.is_ipv4() => u32::from(*PLATEAUS.iter().find(|size| u32::from(**size) < error.len)?),
        told => told,
    };
    if told >= error.len {
        return None;
    }
    // Smaller than the length of a packet, which is 16 bits in IPv4; IPv6 adds its header to that.
    let told = u16::try_from(told).ok()?;
    match error.destination {
        IpAddr::V4(_) => Some(told.max(LEAST_V4)),
        IpAddr::V6(_) => (told >= LEAST_V6).then_some(told),
    }
}
