//! VIP lookup: (address, protocol, port) → VIP, its cost independent of the number of VIPs.

use crate::ids::{PoolId, VipId};
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

/// A VIP as the lookup knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VipEntry {
    /// Which VIP.
    pub vip: VipId,
    /// The pool that serves it.
    pub pool: PoolId,
}

/// What a lookup asks for. Port 0 stands for "any": no packet with port zero gets this far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VipKey {
    address: u128,
    protocol_port: u32,
}

impl VipKey {
    /// The service at an address, given as [`address_bits`].
    #[inline]
    #[must_use]
    pub const fn new(address: u128, protocol: u8, port: u16) -> Self {
        Self { address, protocol_port: (protocol as u32) << 16 | port as u32 }
    }

    #[inline]
    const fn any_port(self) -> Self {
        Self { address: self.address, protocol_port: self.protocol_port & 0xffff_0000 }
    }

    // Not keyed, and needs no key: which entries collide is fixed by the configuration, and a stranger's address can
    // only walk a run of filled places that the configuration made, at load factor 1/2 or less.
    #[inline]
    fn hash(self) -> u64 {
        let low = (self.address as u64) ^ u64::from(self.protocol_port).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
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

/// One VIP for [`VipTable::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VipService {
    /// The virtual address.
    pub address: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port; `None` for any.
    pub port: Option<u16>,
    /// What a lookup returns.
    pub entry: VipEntry,
}

/// All VIPs: open addressing, linear probing, at most half full. Immutable; a clone shares the places.
#[derive(Clone, Debug)]
pub struct VipTable {
    places: Arc<[Option<(VipKey, VipEntry)>]>,
    mask: u64,
    any_port: bool,
    addresses: Arc<HashSet<u128>>,
}

impl VipTable {
    /// The table of these VIPs. Of two for the same service the first wins (a configuration with two is refused).
    #[must_use]
    pub fn new(services: &[VipService]) -> Self {
        let len = (services.len() * 2).next_power_of_two().max(16);
        let mask = (len - 1) as u64;
        let mut places = vec![None; len];
        for service in services {
            let key = VipKey::new(address_bits(service.address), service.protocol, service.port.unwrap_or(0));
            insert(&mut places, mask, key, service.entry);
        }
        Self {
            places: places.into(),
            mask,
            any_port: services.iter().any(|service| service.port.is_none()),
            addresses: Arc::new(services.iter().map(|service| address_bits(service.address)).collect()),
        }
    }

    #[inline]
    fn find(&self, key: VipKey) -> Option<VipEntry> {
        let mut place = key.hash() & self.mask;
        // The table is at most half full: an empty place ends every walk.
        while let Some((found, entry)) = self.places.get(place as usize).copied().flatten() {
            if found == key {
                return Some(entry);
            }
            place = (place + 1) & self.mask;
        }
        None
    }

    /// The VIP that takes a packet to this service: the exact port before "any".
    #[inline]
    #[must_use]
    pub fn lookup(&self, key: VipKey) -> Option<VipEntry> {
        match self.find(key) {
            None if self.any_port => self.find(key.any_port()),
            found => found,
        }
    }

    /// Whether any VIP has this address, given as [`address_bits`]. For packets that no VIP takes.
    #[must_use]
    pub fn has_address(&self, address: u128) -> bool {
        self.addresses.contains(&address)
    }
}

fn insert(places: &mut [Option<(VipKey, VipEntry)>], mask: u64, key: VipKey, entry: VipEntry) {
    let mut place = key.hash() & mask;
    while let Some((taken, _)) = places[place as usize] {
        if taken == key {
            return;
        }
        place = (place + 1) & mask;
    }
    places[place as usize] = Some((key, entry));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn service(address: &str, protocol: u8, port: Option<u16>, vip: u16) -> VipService {
        let entry = VipEntry { vip: VipId(vip), pool: PoolId(vip) };
        VipService { address: address.parse().unwrap(), protocol, port, entry }
    }

    fn key(address: &str, protocol: u8, port: u16) -> VipKey {
        VipKey::new(address_bits(address.parse().unwrap()), protocol, port)
    }

    #[test]
    fn exact_port_goes_before_any() {
        let table = VipTable::new(&[service("203.0.113.1", 6, None, 0), service("203.0.113.1", 6, Some(80), 1)]);
        assert_eq!(table.lookup(key("203.0.113.1", 6, 80)).map(|entry| entry.vip), Some(VipId(1)));
        assert_eq!(table.lookup(key("203.0.113.1", 6, 81)).map(|entry| entry.vip), Some(VipId(0)));
        assert_eq!(table.lookup(key("203.0.113.1", 17, 80)), None);
        assert_eq!(table.lookup(key("203.0.113.2", 6, 80)), None);
        assert!(table.has_address(address_bits("203.0.113.1".parse().unwrap())));
        assert!(!table.has_address(address_bits("203.0.113.2".parse().unwrap())));
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        assert_eq!(VipTable::new(&[]).lookup(key("2001:db8::1", 6, 80)), None);
    }

    proptest! {
        #[test]
        fn agrees_with_a_list(
            services in proptest::collection::vec((0_u8..40, 0_u8..2, 0_u16..6), 0..200),
            asked in proptest::collection::vec((0_u8..50, 0_u8..2, 1_u16..8), 100),
        ) {
            let address = |n: u8| -> IpAddr {
                if n.is_multiple_of(2) { IpAddr::from([203, 0, 113, n]) } else { IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n)]) }
            };
            let protocol = |n: u8| if n == 0 { 6 } else { 17 };
            let list: Vec<_> = services
                .iter()
                .enumerate()
                .map(|(index, &(a, p, port))| VipService {
                    address: address(a),
                    protocol: protocol(p),
                    port: (port != 0).then_some(port),
                    entry: VipEntry { vip: VipId(index as u16), pool: PoolId(0) },
                })
                .collect();
            let table = VipTable::new(&list);
            for (a, p, port) in asked {
                let matching = |wanted: Option<u16>| list.iter().find(|service| {
                    service.address == address(a) && service.protocol == protocol(p) && service.port == wanted
                });
                let expected = matching(Some(port)).or_else(|| matching(None)).map(|service| service.entry);
                let found = table.lookup(VipKey::new(address_bits(address(a)), protocol(p), port));
                prop_assert_eq!(found, expected);
            }
        }
    }
}
