//! The traffic source: TCP segments of many flows, written into fresh buffers at every burst.
//!
//! A frame is one template with three fields changed, so that the number of flows costs the source no memory and no
//! time. Checksums stay right without being computed: the two words of the source address that vary are each other's
//! complement, and so are the source port and the low half of the sequence number.

use guideway_dataplane::craft::Craft;
use guideway_dataplane::parse::Family;
use guideway_dataplane::port::{BURST, Burst, Packet, RxQueue};
use guideway_dataplane::wire::ethernet::{self, Mac};
use guideway_dataplane::wire::{ipv4, ipv6, tcp};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most flows that traffic can have.
pub const MAX_FLOWS: u32 = 1 << (PORT_BITS + 8);
/// The longest frame, in bytes without the frame check sequence.
pub const MAX_FRAME: usize = 1_514;

/// Source ports take this many bits; the bit above them is set, so that no port is zero.
const PORT_BITS: u32 = 15;
/// The first 16 bits of the source address of the first flows: 10.0.0.0/8 for IPv4, an interface identifier for IPv6.
const FIRST_SOURCE: u16 = 0x0a00;
/// Who sends the frames.
const SENDER_MAC: Mac = [2, 0, 0, 0, 0, 0xfe];

/// The shortest frame of a family that Ethernet carries and a TCP segment fits into, without frame check sequence.
#[must_use]
pub const fn shortest_frame(family: Family) -> usize {
    match family {
        Family::V4 => 60,
        Family::V6 => ethernet::HEADER_LEN + ipv6::HEADER_LEN + tcp::HEADER_LEN,
    }
}

/// Frames of many flows to one service, in turns.
#[derive(Clone, Debug)]
pub struct Traffic {
    template: Vec<u8>,
    /// Where the four bytes of the source address lie that vary.
    source: usize,
    /// Where the TCP header lies.
    tcp: usize,
    flows: u32,
    next: u32,
}

impl Traffic {
    /// TCP segments to `service`, in frames to `destination` of `len` bytes each (bounded to what the family needs and
    /// [`MAX_FRAME`]), from `flows` flows (1 to [`MAX_FLOWS`]).
    #[must_use]
    pub fn new(destination: Mac, service: SocketAddr, flows: u32, len: usize) -> Self {
        let family = match service {
            SocketAddr::V4(_) => Family::V4,
            SocketAddr::V6(_) => Family::V6,
        };
        let (source, tcp) = match family {
            Family::V4 => (ethernet::HEADER_LEN + 12, ethernet::HEADER_LEN + ipv4::HEADER_LEN),
            Family::V6 => (ethernet::HEADER_LEN + 20, ethernet::HEADER_LEN + ipv6::HEADER_LEN),
        };
        let payload = vec![0; len.clamp(shortest_frame(family), MAX_FRAME) - tcp - tcp::HEADER_LEN];
        let sender = first_source(family);
        let template = Craft::tcp(sender, service, tcp::ACK)
            .numbers(u32::from(!sender.port()), 0)
            .macs(destination, SENDER_MAC)
            .payload(&payload)
            .frame();
        Self { template, source, tcp, flows: flows.clamp(1, MAX_FLOWS), next: 0 }
    }

    /// Bytes of each frame, without frame check sequence.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        self.template.len()
    }

    /// Makes `packet` the next flow's frame. Returns `false` if the buffer is too small for it.
    #[inline]
    pub fn write(&mut self, packet: &mut impl Packet) -> bool {
        if !packet.resize(self.template.len()) {
            return false;
        }
        let flow = self.next;
        self.next = if flow + 1 == self.flows { 0 } else { flow + 1 };
        let frame = packet.frame_mut();
        frame.copy_from_slice(&self.template);
        let (address, port) = fields(flow);
        frame[self.source..self.source + 4].copy_from_slice(&address);
        frame[self.tcp..self.tcp + 2].copy_from_slice(&port.to_be_bytes());
        frame[self.tcp + 6..self.tcp + 8].copy_from_slice(&(!port).to_be_bytes());
        true
    }
}

/// The varying bytes of a flow's source address, and its source port.
#[inline]
fn fields(flow: u32) -> ([u8; 4], u16) {
    let high = FIRST_SOURCE + (flow >> PORT_BITS) as u16;
    let address = u32::from(high) << 16 | u32::from(!high);
    let port = 1 << PORT_BITS | flow & ((1 << PORT_BITS) - 1);
    (address.to_be_bytes(), port as u16)
}

/// The source address and port of the first flow.
fn first_source(family: Family) -> SocketAddr {
    let (address, port) = fields(0);
    let address = match family {
        Family::V4 => Ipv4Addr::from(address).into(),
        Family::V6 => Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(u32::from_be_bytes(address))).into(),
    };
    SocketAddr::new(address, port)
}

/// Writes traffic into the empty buffers that a queue gives.
///
/// Frames are written `lead` packets before they are handed out, as a NIC's are that wait in its descriptor ring: the
/// worker does not find them in its first-level cache.
#[derive(Debug)]
pub struct Generator<R: RxQueue> {
    empty: R,
    traffic: Traffic,
    waiting: Vec<Burst<R::Packet>>,
    next: usize,
}

impl<R: RxQueue> Generator<R> {
    /// A source on top of `empty`, with `lead` packets, rounded down to whole bursts, waiting at any time.
    pub fn new(empty: R, traffic: Traffic, lead: usize) -> Self {
        let mut generator = Self { empty, traffic, waiting: Vec::new(), next: 0 };
        for _ in 0..lead / BURST {
            let mut burst = Burst::new();
            generator.fill(&mut burst);
            generator.waiting.push(burst);
        }
        generator
    }

    #[inline]
    fn fill(&mut self, burst: &mut Burst<R::Packet>) {
        self.empty.receive(burst);
        for packet in burst {
            // Too small a buffer leaves a frame that the dataplane drops as a runt, which the benchmark reports.
            self.traffic.write(packet);
        }
    }
}

impl<R: RxQueue> RxQueue for Generator<R> {
    type Packet = R::Packet;

    #[inline]
    fn receive(&mut self, burst: &mut Burst<R::Packet>) -> usize {
        // Bursts are whole: what would go behind others stays for the next call.
        if !burst.is_empty() {
            return 0;
        }
        self.fill(burst);
        if let Some(oldest) = self.waiting.get_mut(self.next) {
            std::mem::swap(oldest, burst);
            self.next = if self.next + 1 == self.waiting.len() { 0 } else { self.next + 1 };
        }
        burst.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device as _, Queues};
    use crate::memory::{FreeList, MemoryDevice};
    use guideway_dataplane::hash::FlowKey;
    use guideway_dataplane::parse::{Outcome, Parsed, parse};
    use guideway_dataplane::port::{PacketPool as _, TxQueue as _};
    use guideway_dataplane::snapshot::PortState;
    use std::collections::HashSet;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];

    fn services() -> [SocketAddr; 2] {
        ["203.0.113.10:80".parse().expect("an address"), "[2001:db8:113::10]:80".parse().expect("an address")]
    }

    fn parsed(frame: &[u8]) -> Parsed {
        let port = PortState::new(MAC);
        match parse(frame, frame.len(), &port) {
            Outcome::Packet(parsed) => parsed,
            other => panic!("{other:?}"),
        }
    }

    /// RFC 9293, section 3.1: zero over pseudo header and segment. Written with the definition only.
    fn tcp_checksum_is_right(frame: &[u8], parsed: &Parsed) -> bool {
        let ip = &frame[14..14 + usize::from(parsed.ip_len)];
        let (addresses, segment) = match parsed.family {
            Family::V4 => (&ip[12..20], &ip[20..]),
            Family::V6 => (&ip[8..40], &ip[40..]),
        };
        let bytes = [addresses, &[0, 6], &(segment.len() as u16).to_be_bytes(), segment].concat();
        let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0)));
        words.sum::<u64>() % 0xffff == 0
    }

    #[test]
    fn frames_are_right_to_the_checksums_and_flows_are_as_many_as_asked_for() {
        for service in services() {
            for len in [0, 60, 75, 1_514, 9_000] {
                let mut traffic = Traffic::new(MAC, service, 1_000, len);
                let shortest = if service.is_ipv4() { 60 } else { 74 };
                assert_eq!(traffic.frame_len(), len.clamp(shortest, 1_514));
                let mut keys: Vec<FlowKey> = Vec::new();
                for _ in 0..2_000 {
                    let mut packet = FreeList::default().alloc(&[]).expect("a buffer");
                    assert!(traffic.write(&mut packet));
                    let parsed = parsed(packet.frame());
                    assert_eq!(usize::from(parsed.ip_len) + 14, traffic.frame_len());
                    assert!(tcp_checksum_is_right(packet.frame(), &parsed), "{:02x?}", packet.frame());
                    assert_eq!((parsed.key.destination(), parsed.destination_port), (service.ip(), service.port()));
                    keys.push(parsed.key);
                }
                assert_eq!(keys[..1_000], keys[1_000..]);
                assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 1_000);
            }
        }
    }

    #[test]
    fn the_last_flows_are_as_good_as_the_first() {
        for service in services() {
            let mut traffic = Traffic::new(MAC, service, u32::MAX, 60);
            traffic.next = MAX_FLOWS - 1;
            let mut packet = FreeList::default().alloc(&[]).expect("a buffer");
            assert!(traffic.write(&mut packet));
            assert!(tcp_checksum_is_right(packet.frame(), &parsed(packet.frame())));
            assert_eq!((traffic.flows, traffic.next), (MAX_FLOWS, 0));
        }
    }

    #[test]
    fn packets_come_in_order_whatever_the_lead() {
        for lead in [0, BURST, 5 * BURST] {
            let Queues { rx, mut tx, .. } = MemoryDevice.open().expect("memory");
            let mut generator = Generator::new(rx, Traffic::new(MAC, services()[0], 100, 60), lead);
            let mut ports = Vec::new();
            for _ in 0..10 {
                let mut burst = Burst::new();
                assert_eq!(generator.receive(&mut burst), BURST);
                assert_eq!(generator.receive(&mut burst), 0, "a full burst");
                ports.extend(burst.iter().map(|packet| parsed(packet.frame()).source_port));
                tx.transmit(&mut burst);
            }
            let expected: Vec<u16> = (0..10 * BURST as u16).map(|packet| 0x8000 + packet % 100).collect();
            assert_eq!(ports, expected, "{lead}");
        }
    }
}
