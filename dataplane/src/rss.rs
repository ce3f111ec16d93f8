//! Which worker a port brings a packet to, where its device says how it spreads flows (receive-side scaling, RSS).
//!
//! Nothing is forwarded by this: a packet is at the worker that polled it. It tells beforehand where a packet will be, so that
//! `fullnat` sessions get source ports whose answers need no other worker.

use crate::hash::{KEY_BYTES, Toeplitz};
use crate::ids::WorkerId;
use crate::session::{Endpoint, Tuple};
use crate::vip::is_v4;
use crate::wire::protocol;

/// Of which packets the ports are hashed. Of others only the addresses are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashesPorts {
    /// TCP over IPv4.
    pub tcp_v4: bool,
    /// UDP over IPv4.
    pub udp_v4: bool,
    /// TCP over IPv6.
    pub tcp_v6: bool,
    /// UDP over IPv6.
    pub udp_v6: bool,
}

impl HashesPorts {
    const fn of(self, is_v4: bool, protocol: u8) -> bool {
        match (protocol, is_v4) {
            (protocol::TCP, true) => self.tcp_v4,
            (protocol::UDP, true) => self.udp_v4,
            (protocol::TCP, false) => self.tcp_v6,
            (protocol::UDP, false) => self.udp_v6,
            _ => false,
        }
    }
}

/// How a port spreads flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rss {
    toeplitz: Toeplitz,
    /// The worker that polls the queue of each entry of the indirection table: a power of two.
    table: Box<[WorkerId]>,
    /// Those in the table, each once.
    workers: Box<[WorkerId]>,
    hashes_ports: HashesPorts,
}

impl Rss {
    /// By the key, by the workers of the indirection table's entries, and by what is hashed. `None`: the table's length is no
    /// power of two, and which bits of the hash choose an entry is not known.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES], table: Box<[WorkerId]>, hashes_ports: HashesPorts) -> Option<Self> {
        if !table.len().is_power_of_two() {
            return None;
        }
        let mut workers = table.to_vec();
        workers.sort_unstable();
        workers.dedup();
        Some(Self { toeplitz: Toeplitz::new(key), table, workers: workers.into(), hashes_ports })
    }

    /// The worker that a whole packet of a flow comes to.
    #[must_use]
    pub fn worker_of(&self, tuple: &Tuple) -> WorkerId {
        match self.answers(tuple.source, tuple.destination.address, tuple.protocol) {
            Some(answers) => answers.worker_at(tuple.destination.port),
            None => {
                let (from, to) = (tuple.source.address, tuple.destination.address);
                self.worker_by(self.of_addresses(from, to))
            }
        }
    }

    /// The packets that one endpoint sends to an address, whose port there is not chosen yet. `None`: they come to the same
    /// worker whatever it is.
    #[inline]
    pub(crate) fn answers(&self, from: Endpoint, to: u128, protocol: u8) -> Option<Answers<'_>> {
        let is_v4 = is_v4(to);
        if !self.hashes_ports.of(is_v4, protocol) {
            return None;
        }
        let port_at = 2 * address_bytes(is_v4);
        let but_port = self.of_addresses(from.address, to) ^ self.toeplitz.part(port_at, &from.port.to_be_bytes());
        Some(Answers { rss: self, but_port, port_at: port_at + 2 })
    }

    /// Whether any packet comes to a worker.
    pub(crate) fn reaches(&self, worker: WorkerId) -> bool {
        self.workers.contains(&worker)
    }

    fn of_addresses(&self, from: u128, to: u128) -> u32 {
        let bytes = address_bytes(is_v4(to));
        let part = |at, address: u128| self.toeplitz.part(at, address.to_be_bytes().get(16 - bytes..).unwrap_or(&[]));
        part(0, from) ^ part(bytes, to)
    }

    #[inline]
    fn worker_by(&self, hash: u32) -> WorkerId {
        let entry = hash as usize & (self.table.len() - 1);
        self.table.get(entry).copied().unwrap_or(WorkerId(0))
    }
}

/// Packets of one endpoint to an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers<'r> {
    rss: &'r Rss,
    /// The hash of everything but the port that they go to.
    but_port: u32,
    /// Where that stands in what is hashed.
    port_at: usize,
}

impl Answers<'_> {
    /// The worker that those for a port come to.
    #[inline]
    pub(crate) fn worker_at(&self, port: u16) -> WorkerId {
        self.rss.worker_by(self.but_port ^ self.rss.toeplitz.part(self.port_at, &port.to_be_bytes()))
    }
}

/// Bytes of an address on the wire.
const fn address_bytes(is_v4: bool) -> usize {
    if is_v4 { 4 } else { 16 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::USUAL_KEY;
    use crate::vip::address_bits;
    use std::net::SocketAddr;

    /// Source, destination, hash over the addresses, hash over addresses and ports (Microsoft, "Verifying the RSS Hash Calculation").
    const VECTORS: [(&str, &str, u32, u32); 4] = [
        ("66.9.149.187:2794", "161.142.100.80:1766", 0x323e_8fc2, 0x51cc_c178),
        ("199.92.111.2:14230", "65.69.140.83:4739", 0xd718_262a, 0xc626_b0ea),
        ("[3ffe:2501:200:1fff::7]:2794", "[3ffe:2501:200:3::1]:1766", 0x2cc1_8cd5, 0x4020_7d3d),
        ("[3ffe:501:8::260:97ff:fe40:efab]:14230", "[ff02::1]:4739", 0x0f0c_461c, 0xdde5_1bbf),
    ];
    const ALL: HashesPorts = HashesPorts { tcp_v4: true, udp_v4: true, tcp_v6: true, udp_v6: true };

    fn end(text: &str) -> Endpoint {
        let address: SocketAddr = text.parse().expect("an address and a port");
        Endpoint { address: address_bits(address.ip()), port: address.port() }
    }

    /// A table whose every entry is a worker of its own: that which is chosen is the hash's lower bits.
    fn telling(hashes_ports: HashesPorts) -> Rss {
        Rss::new(&USUAL_KEY, (0..512).map(WorkerId).collect(), hashes_ports).expect("a power of two")
    }

    #[test]
    fn the_specifications_vectors() {
        for (source, destination, by_addresses, by_ports) in VECTORS {
            for protocol in [protocol::TCP, protocol::UDP] {
                let tuple = Tuple { source: end(source), destination: end(destination), protocol };
                let entry = |hash: u32| WorkerId(hash as u16 & 511);
                assert_eq!(telling(ALL).worker_of(&tuple), entry(by_ports), "{source}");
                assert_eq!(telling(HashesPorts::default()).worker_of(&tuple), entry(by_addresses), "{source}");
                let icmp = Tuple { protocol: protocol::ICMP, ..tuple };
                assert_eq!(telling(ALL).worker_of(&icmp), entry(by_addresses), "{source}");
            }
        }
    }

    #[test]
    fn each_protocol_has_a_setting_of_its_own() {
        let settings = [
            HashesPorts { tcp_v4: true, ..HashesPorts::default() },
            HashesPorts { udp_v4: true, ..HashesPorts::default() },
            HashesPorts { tcp_v6: true, ..HashesPorts::default() },
            HashesPorts { udp_v6: true, ..HashesPorts::default() },
        ];
        for (number, setting) in settings.into_iter().enumerate() {
            let rss = telling(setting);
            let [(v4, v4_to, ..), _, (v6, v6_to, ..), _] = VECTORS;
            let flows = [
                (v4, v4_to, protocol::TCP),
                (v4, v4_to, protocol::UDP),
                (v6, v6_to, protocol::TCP),
                (v6, v6_to, protocol::UDP),
            ];
            for (other, (from, to, protocol)) in flows.into_iter().enumerate() {
                assert_eq!(rss.answers(end(from), end(to).address, protocol).is_some(), number == other);
            }
        }
    }

    #[test]
    fn a_table_that_nobody_can_read_is_none() {
        for entries in [0, 3, 127] {
            assert_eq!(Rss::new(&USUAL_KEY, (0..entries).map(WorkerId).collect(), ALL), None, "{entries}");
        }
        let rss = Rss::new(&USUAL_KEY, [WorkerId(5), WorkerId(2)].repeat(32).into(), ALL).expect("64 entries");
        assert_eq!([2, 3, 5].map(|worker| rss.reaches(WorkerId(worker))), [true, false, true]);
    }
}
