//! Exact VIPs for the fast path: one probe of one cache line, by a key as it stands in a packet.
//!
//! Beside services there are the addresses of all VIPs, so that a packet for none of them is known as such by one more
//! probe. What is not found here may still be for a range, any port or a prefix: [`super::VipTable`] says whether.

use super::{ServicePort, Steering, VipEntry, VipService};
use crate::ids::{PoolId, VipId};
use std::net::IpAddr;

/// A service of an exact address and port, or with zeros for protocol and port an address alone.
pub(crate) trait ExactKey: Copy + Eq {
    /// The key of no service, which stands in empty cells.
    const NOTHING: Self;

    /// Scattered over all bits.
    fn hash(self) -> u64;
}

/// IPv4: bits 0..32 the address, 32..40 the protocol, 48..64 the port, address and port as they stand in a packet that
/// is read in little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyV4(pub u64);

/// IPv6: the halves of the address, and protocol and port as in [`KeyV4`], with zeros for the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyV6(pub [u64; 3]);

/// Bits 32..64 of either key.
#[inline(always)]
pub(crate) const fn service_bits(protocol: u8, port_bits: u64) -> u64 {
    (protocol as u64) << 32 | port_bits
}

/// A port as it stands in a key.
const fn port_bits(port: u16) -> u64 {
    (u16::from_le_bytes(port.to_be_bytes()) as u64) << 48
}

/// Scatters by folding the double product with an odd constant: each bit of the result depends on all of the key.
// Not keyed, and needs no key: as for `VipKey`, only the configuration decides which keys collide.
#[inline(always)]
const fn scattered(bits: u64) -> u64 {
    let product = bits as u128 * 0x9fb2_1c65_1e98_df25;
    product as u64 ^ (product >> 64) as u64
}

impl ExactKey for KeyV4 {
    const NOTHING: Self = Self(0);

    #[inline(always)]
    fn hash(self) -> u64 {
        scattered(self.0)
    }
}

impl ExactKey for KeyV6 {
    const NOTHING: Self = Self([0; 3]);

    #[inline(always)]
    fn hash(self) -> u64 {
        let [low, high, service] = self.0;
        scattered(low ^ service) ^ scattered(high ^ service.rotate_left(32))
    }
}

/// What is found: enough to go on without the configuration's records. One number, so that it is copied at once.
///
/// Bits 0..16 the VIP, 16..32 the pool, 32..40 the steering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Exact(u64);

impl Exact {
    /// What is found of a VIP.
    pub const fn new(vip: VipId, pool: PoolId, steering: Steering) -> Self {
        let steering = match steering {
            Steering::Flow => 0,
            Steering::Client => 1,
            Steering::Quic => 2,
            Steering::Session { by_client: false } => 3,
            Steering::Session { by_client: true } => 4,
        };
        Self(vip.0 as u64 | (pool.0 as u64) << 16 | steering << 32)
    }

    /// Which VIP.
    #[inline(always)]
    pub const fn vip(self) -> VipId {
        VipId(self.0 as u16)
    }

    /// The pool that serves it.
    #[inline(always)]
    pub const fn pool(self) -> PoolId {
        PoolId((self.0 >> 16) as u16)
    }

    /// How its flows are told apart.
    #[inline(always)]
    pub const fn steering(self) -> Steering {
        match self.0 >> 32 {
            0 => Steering::Flow,
            1 => Steering::Client,
            2 => Steering::Quic,
            other => Steering::Session { by_client: other == 4 },
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Cell<K> {
    key: K,
    found: Exact,
}

// Four cells of IPv4 share a cache line, or two of IPv6: none lies in two.
const _: () = assert!(size_of::<Cell<KeyV4>>() == 16 && size_of::<Cell<KeyV6>>() == 32);

/// Open addressing with linear probing, at most half full. Immutable.
#[derive(Debug)]
pub(crate) struct ExactTable<K> {
    cells: Box<[Cell<K>]>,
    /// One less than their number, which is a power of two.
    mask: usize,
    /// Whether any of them steers by something else than the flow.
    steers: bool,
    /// Whether any of them steers by what the fast path knows.
    has_usual: bool,
}

impl<K: ExactKey> ExactTable<K> {
    /// The table of these. Of two with the same key the first counts.
    pub(super) fn new(entries: &[(K, Exact)]) -> Self {
        const NOBODY: Exact = Exact::new(VipId(0), PoolId(0), Steering::Flow);
        let len = (entries.len() * 2).next_power_of_two().max(8);
        let mut table = Self {
            cells: vec![Cell { key: K::NOTHING, found: NOBODY }; len].into(),
            mask: len - 1,
            steers: entries.iter().any(|(_, found)| found.steering() != Steering::Flow),
            has_usual: entries.iter().any(|(_, found)| matches!(found.steering(), Steering::Flow | Steering::Client)),
        };
        for &(key, found) in entries {
            if table.find(key).is_none() {
                let place = table.walk(key).find(|place| table.cells[*place].key == K::NOTHING);
                table.cells[place.unwrap_or(0)] = Cell { key, found };
            }
        }
        table
    }

    /// Whether any VIP steers by something else than the flow.
    #[inline(always)]
    pub(crate) const fn steers(&self) -> bool {
        self.steers
    }

    /// Whether any VIP steers by the flow or the client: by what the fast path knows.
    #[inline(always)]
    pub(crate) const fn has_usual(&self) -> bool {
        self.has_usual
    }

    #[inline(always)]
    fn first(&self, key: K) -> usize {
        key.hash() as usize & self.mask
    }

    /// The places where a key may be, in the order of the search.
    #[inline(always)]
    fn walk(&self, key: K) -> impl Iterator<Item = usize> + use<K> {
        let (first, mask) = (self.first(key), self.mask);
        (0..=mask).map(move |step| (first + step) & mask)
    }

    /// What stands under a key.
    #[inline(always)]
    pub(crate) fn find(&self, key: K) -> Option<Exact> {
        let mut place = self.first(key);
        // At most half full: an empty cell ends every walk.
        while let Some(cell) = self.cells.get(place) {
            if cell.key == key {
                return Some(cell.found);
            }
            if cell.key == K::NOTHING {
                return None;
            }
            place = (place + 1) & self.mask;
        }
        None
    }
}

/// Exact services and addresses of VIPs by family.
#[derive(Debug)]
pub(crate) struct ExactTables {
    /// IPv4.
    pub v4: ExactTable<KeyV4>,
    /// IPv6.
    pub v6: ExactTable<KeyV6>,
}

impl ExactTables {
    pub(super) fn new(services: &[VipService]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for service in services.iter().filter(|service| service.prefix_bits() == 128) {
            let VipEntry { vip, pool, steering } = service.entry;
            let found = Exact::new(vip, pool, steering);
            let exact = match service.port {
                ServicePort::Exact(port) => Some(service_bits(service.protocol, port_bits(port))),
                ServicePort::Range(_) | ServicePort::Any => None,
            };
            for bits in exact.into_iter().chain([0]) {
                match service.address {
                    IpAddr::V4(address) => {
                        v4.push((KeyV4(u64::from(u32::from_le_bytes(address.octets())) | bits), found));
                    }
                    IpAddr::V6(address) => {
                        let address = u128::from_le_bytes(address.octets());
                        v6.push((KeyV6([address as u64, (address >> 64) as u64, bits]), found));
                    }
                }
            }
        }
        Self { v4: ExactTable::new(&v4), v6: ExactTable::new(&v6) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn exact(number: u16) -> Exact {
        Exact::new(VipId(number), PoolId(number), Steering::Flow)
    }

    proptest! {
        #[test]
        fn finds_what_a_map_finds(
            keys in proptest::collection::vec((0_u64..40, 0_u64..3, 0_u64..3), 0..100),
            asked in proptest::collection::vec((0_u64..40, 0_u64..3, 0_u64..3), 1..100),
        ) {
            let v6 = |&(low, high, service): &(u64, u64, u64)| KeyV6([low + 1, high << 60, service << 32]);
            let v4 = |&(low, high, service): &(u64, u64, u64)| KeyV4((low + 1) | (high << 24) | (service << 48));
            let number = |place: usize| exact(place as u16);
            let mut oracle = HashMap::new();
            for (place, key) in keys.iter().enumerate() {
                oracle.entry(*key).or_insert(number(place));
            }
            let entries: Vec<_> = keys.iter().enumerate().map(|(place, key)| (v6(key), number(place))).collect();
            let table_v6 = ExactTable::new(&entries);
            let entries: Vec<_> = keys.iter().enumerate().map(|(place, key)| (v4(key), number(place))).collect();
            let table_v4 = ExactTable::new(&entries);
            for key in &asked {
                prop_assert_eq!(table_v6.find(v6(key)), oracle.get(key).copied());
                prop_assert_eq!(table_v4.find(v4(key)), oracle.get(key).copied());
            }
        }
    }
}
