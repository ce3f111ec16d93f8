//! The frame that is expected, put together field by field as the RFCs list them.

use crate::packet::{Case, NEIGHBOR, PORT};
use guideway_dataplane::rewrite::{Encapsulation, GueVariant};

/// The checksum by its definition: 16-bit words, carries added at the end (RFC 1071).
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut bytes = parts.concat();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    let mut sum: u64 = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

pub struct Expected<'c> {
    case: &'c Case,
    inner: Vec<u8>,
    source: Vec<u8>,
    destination: Vec<u8>,
}

impl<'c> Expected<'c> {
    pub fn of(case: &'c Case) -> Self {
        let (source, destination): (Vec<u8>, Vec<u8>) = if case.outer_v6 {
            let mut source = 0xfd00_0000_0000_0000_0000_0000_0005_a0b1_u128;
            if let Some(len) = case.prefix {
                source = source >> (32 - len) << (32 - len) | u128::from(host(32 - len, true, case.entropy));
            }
            let destination = 0xfd00_0001_0000_0000_0000_0000_0000_0013_u128;
            (source.to_be_bytes().into(), destination.to_be_bytes().into())
        } else {
            let mut source = 0x0ac8_a0b1_u64;
            if let Some(len) = case.prefix {
                source = source >> (32 - len) << (32 - len) | u64::from(host(32 - len, false, case.entropy));
            }
            ((source as u32).to_be_bytes().into(), vec![10, 0, 1, 12])
        };
        Self { case, inner: case.inner(), source, destination }
    }

    pub fn frame(&self) -> Vec<u8> {
        let (protocol, load) = self.load();
        let ethertype = if self.case.outer_v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
        let ip = if self.case.outer_v6 { self.ipv6(protocol, load.len()) } else { self.ipv4(protocol, load.len()) };
        [&NEIGHBOR[..], &PORT, &self.case.tags.bytes(), &ethertype, &ip, &load].concat()
    }

    fn ipv4(&self, protocol: u8, len: usize) -> Vec<u8> {
        let mut header = vec![0x45, self.case.traffic_class];
        header.extend((len as u16 + 20).to_be_bytes());
        // No identification, "don't fragment", 64 hops.
        header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
        header.extend([&self.source[..], &self.destination].concat());
        let checksum = checksum(&[&header]);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    fn ipv6(&self, protocol: u8, len: usize) -> Vec<u8> {
        let class = self.case.traffic_class;
        let mut header = vec![0x60 | class >> 4, class << 4];
        header.extend(self.case.entropy.to_be_bytes());
        header.extend((len as u16).to_be_bytes());
        header.extend([protocol, 64]);
        header.extend([&self.source[..], &self.destination].concat());
        header
    }

    /// What follows the outer IP header, and its protocol number.
    fn load(&self) -> (u8, Vec<u8>) {
        let number = if self.case.inner_v6 { 41 } else { 4 };
        match self.case.encapsulation {
            Encapsulation::Ipip => (number, self.inner.clone()),
            Encapsulation::Gre => {
                let ethertype: &[u8] = if self.case.inner_v6 { &[0x86, 0xdd] } else { &[0x08, 0x00] };
                (47, [&[0, 0], ethertype, &self.inner].concat())
            }
            Encapsulation::Gue(gue) => {
                let header: &[u8] = if gue.variant == GueVariant::Header { &[0, number, 0, 0] } else { &[] };
                (17, self.udp(gue.port, gue.checksum, &[header, &self.inner].concat()))
            }
        }
    }

    fn udp(&self, port: u16, with_checksum: bool, payload: &[u8]) -> Vec<u8> {
        let len = payload.len() as u16 + 8;
        let source_port = 49_152 + self.case.entropy % 16_384;
        let fields = [source_port.to_be_bytes(), port.to_be_bytes(), len.to_be_bytes()].concat();
        let pseudo = [&self.source[..], &self.destination, &[0, 17], &len.to_be_bytes()].concat();
        let checksum = match checksum(&[&pseudo, &fields, &[0, 0], payload]) {
            _ if !with_checksum => 0,
            0 => 0xffff,
            checksum => checksum,
        };
        [&fields, &checksum.to_be_bytes()[..], payload].concat()
    }
}

/// The host part that a flow takes of a prefix: its share of the hosts, of which the reserved ones are not part.
fn host(bits: u8, v6: bool, entropy: u16) -> u32 {
    let hosts: Vec<u32> = match bits {
        0 => vec![0],
        1 => vec![0, 1],
        // All-ones is a broadcast address in IPv4 only; it is beyond the 16 bits that vary in a longer host part.
        2..=16 if !v6 => (1..(1_u32 << bits) - 1).collect(),
        2..=16 => (1..1_u32 << bits).collect(),
        _ => (1..1_u32 << 16).collect(),
    };
    hosts[(hosts.len() * usize::from(entropy)) >> 16]
}
