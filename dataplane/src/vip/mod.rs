//! VIP lookup: (address, protocol, port) → VIP, its cost independent of the number of VIPs.
//!
//! The most specific VIP takes a packet: first by address (the address itself, then prefixes from the longest to the
//! shortest), at each of them by port (the port itself, then a range, then any). All of it is one hash table; a packet
//! to an exact address and port, the usual case, costs one probe.

pub(crate) mod exact;
mod ranges;

use crate::ids::{PoolId, VipId};
use exact::ExactTables;
use ranges::{PortRange, PortRanges};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A VIP as the lookup knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VipEntry {
    /// Which VIP.
    pub vip: VipId,
    /// The pool that serves it.
    pub pool: PoolId,
    /// How its flows are told apart.
    pub steering: Steering,
}

/// What of a packet decides which backend gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Steering {
    /// Addresses, protocol and ports of both sides.
    #[default]
    Flow,
    /// The client's address alone.
    Client,
    /// The server id in a QUIC connection ID; without one that is known, as [`Steering::Flow`].
    Quic,
    /// The session of the flow, if it has one. A new one goes as [`Steering::Flow`], or as [`Steering::Client`].
    Session {
        /// Whether it goes by the client.
        by_client: bool,
    },
}

/// What a lookup asks for. Port 0 stands for "any": no packet with port zero gets this far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VipKey {
    address: u128,
    /// Bits 0..16 port, 16..24 protocol, 24..32 bits of the address that are not part of a prefix.
    service: u32,
}

impl VipKey {
    /// The service at an address, given as [`address_bits`].
    #[inline]
    #[must_use]
    pub const fn new(address: u128, protocol: u8, port: u16) -> Self {
        Self { address, service: (protocol as u32) << 16 | port as u32 }
    }

    #[inline]
    const fn port(self) -> u16 {
        self.service as u16
    }

    const fn any_port(self) -> Self {
        Self { address: self.address, service: self.service & 0xffff_0000 }
    }

    /// The key of the prefix of `bits` bits around an exact key's address.
    const fn within(self, bits: u8) -> Self {
        let free = 128_u8.saturating_sub(bits);
        Self { address: masked(self.address, bits), service: self.service | (free as u32) << 24 }
    }

    // Not keyed, and needs no key: which entries collide is fixed by the configuration, and a stranger's address can
    // only walk a run of filled places that the configuration made, at load factor 1/2 or less.
    #[inline]
    fn hash(self) -> u64 {
        let low = (self.address as u64) ^ u64::from(self.service).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        let high = (self.address >> 64) as u64 ^ 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(low ^ 0x1656_67b1_9e37_79f9) * u128::from(high | 1);
        let folded = (product as u64) ^ (product >> 64) as u64;
        folded.wrapping_mul(0x9fb2_1c65_1e98_df25).rotate_left(29)
    }
}

/// An address as 128 bits; IPv4 as an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2).
#[must_use]
pub const fn address_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The first `bits` bits of an address, the rest zero.
const fn masked(address: u128, bits: u8) -> u128 {
    match bits {
        0 => 0,
        128.. => address,
        _ => address & !(u128::MAX >> bits),
    }
}

/// Addresses that begin alike, as 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    address: u128,
    bits: u8,
}

impl Prefix {
    /// The prefix of `len` bits, in the family of the address, around an address.
    #[must_use]
    pub const fn new(address: IpAddr, len: u8) -> Self {
        let offset = if address.is_ipv4() { 96 } else { 0 };
        let bits = len.saturating_add(offset);
        Self { address: masked(address_bits(address), bits), bits }
    }

    /// Whether an address, as [`address_bits`], is one of them.
    #[must_use]
    pub const fn contains(&self, address: u128) -> bool {
        masked(address, self.bits) == self.address
    }
}

/// Whether these bits, as [`address_bits`] gives them, are an IPv4 address (IPv4-mapped, RFC 4291, section 2.5.5.2).
#[inline]
pub(crate) const fn is_v4(address: u128) -> bool {
    address >> 32 == 0xffff
}

/// Which ports a VIP takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServicePort {
    /// One.
    Exact(u16),
    /// Several in a row.
    Range(RangeInclusive<u16>),
    /// Every one that no other VIP of the same address and protocol takes.
    Any,
}

/// One VIP for [`VipTable::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipService {
    /// The virtual address, or one of a prefix.
    pub address: IpAddr,
    /// Length of the prefix in bits, in the family of the address; 32 or 128 for the address alone.
    pub prefix_len: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination ports.
    pub port: ServicePort,
    /// What a lookup returns.
    pub entry: VipEntry,
}

impl VipService {
    /// Bits of the prefix in an address of 128 bits.
    fn prefix_bits(&self) -> u8 {
        let offset = if self.address.is_ipv4() { 96 } else { 0 };
        (self.prefix_len + offset).min(128)
    }

    fn key(&self) -> VipKey {
        let port = if let ServicePort::Exact(port) = self.port { port } else { 0 };
        VipKey::new(address_bits(self.address), self.protocol, port).within(self.prefix_bits())
    }
}

/// What stands under a key.
#[derive(Clone, Copy, Debug, Default)]
struct Value {
    /// The VIP of the key's port, or of any.
    entry: Option<VipEntry>,
    /// Only under port 0: index into the ranges plus one, 0 for none.
    ranges: u16,
}

/// All VIPs: open addressing, linear probing, at most half full. Immutable; a clone shares the places.
#[derive(Clone, Debug)]
pub struct VipTable {
    places: Arc<[Option<(VipKey, Value)>]>,
    mask: u64,
    ranges: Arc<[PortRanges]>,
    /// Whether a packet that no exact VIP takes may still be for a range, any port or a prefix.
    wide: bool,
    /// Lengths of prefixes in 128 bits, the longest first, of each family.
    lengths: [Arc<[u8]>; 2],
    /// Every address or prefix of a VIP, and its length.
    addresses: Arc<HashSet<(u128, u8)>>,
    /// What the fast path looks into.
    exact: Arc<ExactTables>,
}

impl VipTable {
    /// The table of these VIPs. Of two for the same service the first wins (a configuration with two is refused).
    #[must_use]
    pub fn new(services: &[VipService]) -> Self {
        let mut values: BTreeMap<VipKey, Value> = BTreeMap::new();
        let mut ranges: BTreeMap<VipKey, Vec<PortRange>> = BTreeMap::new();
        for service in services {
            let key = service.key();
            match &service.port {
                ServicePort::Range(range) => {
                    ranges.entry(key).or_default().push((*range.start(), *range.end(), service.entry));
                }
                ServicePort::Exact(_) | ServicePort::Any => {
                    values.entry(key).or_default().entry.get_or_insert(service.entry);
                }
            }
        }
        for (number, key) in (1..).zip(ranges.keys()) {
            values.entry(*key).or_default().ranges = number;
        }
        let len = (values.len() * 2).next_power_of_two().max(16);
        let mask = (len - 1) as u64;
        let mut places = vec![None; len];
        for (key, value) in values {
            insert(&mut places, mask, key, value);
        }
        let of_family = |v4: bool| -> Arc<[u8]> {
            let prefixes = services.iter().filter(|service| service.address.is_ipv4() == v4);
            let lengths: BTreeSet<u8> = prefixes.map(VipService::prefix_bits).filter(|bits| *bits < 128).collect();
            lengths.into_iter().rev().collect()
        };
        let lengths = [of_family(false), of_family(true)];
        let only_exact = services.iter().all(|service| matches!(service.port, ServicePort::Exact(_)));
        let bits = |service: &VipService| (service.key().address, service.prefix_bits());
        Self {
            places: places.into(),
            mask,
            ranges: ranges.values().map(|ranges| PortRanges::new(ranges)).collect(),
            wide: !only_exact || lengths.iter().any(|lengths| !lengths.is_empty()),
            lengths,
            addresses: Arc::new(services.iter().map(bits).collect()),
            exact: Arc::new(ExactTables::new(services)),
        }
    }

    /// Exact services and addresses, for the fast path.
    #[inline(always)]
    pub(crate) fn exact(&self) -> &ExactTables {
        &self.exact
    }

    /// Whether a packet that no exact VIP takes may still be for a range, any port or a prefix.
    #[inline(always)]
    pub(crate) const fn is_wide(&self) -> bool {
        self.wide
    }

    #[inline]
    fn find(&self, key: VipKey) -> Option<Value> {
        let mut place = key.hash() & self.mask;
        // The table is at most half full: an empty place ends every walk.
        while let Some((found, value)) = self.places.get(place as usize).copied().flatten() {
            if found == key {
                return Some(value);
            }
            place = (place + 1) & self.mask;
        }
        None
    }

    /// The most specific VIP that takes a packet to this service.
    #[inline]
    #[must_use]
    pub fn lookup(&self, key: VipKey) -> Option<VipEntry> {
        match self.find(key) {
            Some(value) => value.entry,
            None if self.wide => self.lookup_wide(key),
            None => None,
        }
    }

    /// A service of no exact VIP: a range or any port at the address, else the same at the prefixes around it.
    fn lookup_wide(&self, key: VipKey) -> Option<VipEntry> {
        let several = |key: VipKey| {
            let value = self.find(key.any_port())?;
            let ranges = usize::from(value.ranges).checked_sub(1).and_then(|index| self.ranges.get(index));
            ranges.and_then(|ranges| ranges.lookup(key.port())).or(value.entry)
        };
        let at_prefix = |bits: &u8| {
            let key = key.within(*bits);
            self.find(key).and_then(|value| value.entry).or_else(|| several(key))
        };
        several(key).or_else(|| self.prefix_lengths(key.address).iter().find_map(at_prefix))
    }

    fn prefix_lengths(&self, address: u128) -> &[u8] {
        let [v6, v4] = &self.lengths;
        if is_v4(address) { v4 } else { v6 }
    }

    /// Whether any VIP has this address, given as [`address_bits`]. For packets that no VIP takes, and fragments.
    #[must_use]
    pub fn has_address(&self, address: u128) -> bool {
        let within = |bits: &u8| self.addresses.contains(&(masked(address, *bits), *bits));
        within(&128) || self.prefix_lengths(address).iter().any(within)
    }
}

fn insert(places: &mut [Option<(VipKey, Value)>], mask: u64, key: VipKey, value: Value) {
    let mut place = key.hash() & mask;
    while places[place as usize].is_some() {
        place = (place + 1) & mask;
    }
    places[place as usize] = Some((key, value));
}

#[cfg(test)]
mod tests;
