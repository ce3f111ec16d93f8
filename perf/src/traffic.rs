//! The traffic source: packets of many flows, written into fresh buffers at every burst.
//!
//! A frame is one template with a few fields changed, so that the number of flows costs the source no memory and no time.
//! Checksums stay right without being computed: what varies comes in pairs of words that are each other's complement, the
//! two halves of the source address's variable part, the source port and a word of the transport, and where there are several
//! services the low word of their address and a word that nobody reads.
//!
//! Flows come in the order of a golden-section walk: each step goes on by the golden section of their number, or what is next to
//! it and coprime, so that all come once in a round, neighbours far apart.

use crate::mix::{Mix, Spreading};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::parse::Family;
use guideway_dataplane::port::Packet;
use guideway_dataplane::wire::ethernet::{self, Mac};
use guideway_dataplane::wire::{ipv4, ipv6, protocol, tcp, udp};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most flows that traffic can have.
pub const MAX_FLOWS: u32 = 1 << (PORT_BITS + 14);
/// The longest frame, in bytes without the frame check sequence.
pub const MAX_FRAME: usize = 8_996;

/// Source ports take this many bits; the bit above them is set, so that no port is zero.
const PORT_BITS: u32 = 15;
/// The first 16 bits of the source address of the first flows: 10.0.0.0/8 for IPv4, an interface identifier for IPv6.
const FIRST_SOURCE: u16 = 0x0a00;
/// Who sends the frames.
const SENDER_MAC: Mac = [2, 0, 0, 0, 0, 0xfe];

/// What traffic is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// To whom the frames are sent.
    pub destination: Mac,
    /// The first service, whose address ends in 16 zero bits if there are several; they differ in these.
    pub service: SocketAddr,
    /// Services.
    pub services: u16,
    /// How flows are spread over them.
    pub spreading: Spreading,
    /// TCP or UDP, by number.
    pub protocol: u8,
    /// TCP flags.
    pub flags: u8,
    /// Flows, 1 to [`MAX_FLOWS`].
    pub flows: u32,
    /// Bytes of each frame without frame check sequence, raised to what the headers need, [`MAX_FRAME`] at most.
    pub len: usize,
}

impl Frames {
    /// TCP segments in the middle of their flows, to one service.
    #[must_use]
    pub const fn established(destination: Mac, service: SocketAddr, flows: u32, len: usize) -> Self {
        let (protocol, flags) = (protocol::TCP, tcp::ACK);
        Self { destination, service, services: 1, spreading: Spreading::Uniform, protocol, flags, flows, len }
    }

    const fn family(&self) -> Family {
        match self.service {
            SocketAddr::V4(_) => Family::V4,
            SocketAddr::V6(_) => Family::V6,
        }
    }
}

/// The shortest frame that Ethernet carries and the headers fit into, with what the source varies, without frame check
/// sequence.
#[must_use]
pub const fn shortest_frame(family: Family, number: u8) -> usize {
    let transport = if number == protocol::UDP { udp::HEADER_LEN + VARIED_PAYLOAD } else { tcp::HEADER_LEN };
    let len = match family {
        Family::V4 => ethernet::HEADER_LEN + ipv4::HEADER_LEN + transport,
        Family::V6 => ethernet::HEADER_LEN + ipv6::HEADER_LEN + transport,
    };
    if len < ethernet::MIN_FRAME { ethernet::MIN_FRAME } else { len }
}

/// Bytes of a datagram's payload that make up for what varies.
const VARIED_PAYLOAD: usize = 4;

/// The service of the `number`-th VIP, counted from a first one whose address ends in 16 zero bits.
#[must_use]
pub fn service(first: SocketAddr, number: u16) -> SocketAddr {
    let address = match first.ip() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() | u32::from(number)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() | u128::from(number)).into(),
    };
    SocketAddr::new(address, first.port())
}

/// Where in a frame what varies lies, in bytes from its beginning.
#[derive(Clone, Copy, Debug)]
struct Places {
    /// The four bytes of the source address.
    source: usize,
    /// The source port.
    port: usize,
    /// The complement of the port.
    port_complement: usize,
    /// The last two bytes of the destination address.
    destination: usize,
    /// Complements of these: in the IPv4 header, and in the transport for its pseudo-header.
    destination_complements: [usize; 2],
}

impl Places {
    const fn new(family: Family, number: u8) -> Self {
        const IP: usize = ethernet::HEADER_LEN;
        let (source, destination, transport) = match family {
            Family::V4 => (IP + 12, IP + 18, IP + ipv4::HEADER_LEN),
            Family::V6 => (IP + 20, IP + 38, IP + ipv6::HEADER_LEN),
        };
        // The sequence number's halves, or the first words of the payload.
        let spare = if number == protocol::UDP { transport + udp::HEADER_LEN } else { transport + 4 };
        // IPv6 has no checksum of its own: writing the same twice changes nothing.
        let in_header = if matches!(family, Family::V4) { IP + 4 } else { spare };
        let destination_complements = [in_header, spare];
        Self { source, port: transport, port_complement: spare + 2, destination, destination_complements }
    }
}

/// Frames of many flows.
#[derive(Clone, Debug)]
pub struct Traffic {
    template: Vec<u8>,
    places: Places,
    /// `None`: there is one service, which stands in the template.
    mix: Option<Mix>,
    flows: u32,
    step: u32,
    next: u32,
}

impl Traffic {
    /// Traffic as described.
    #[must_use]
    pub fn new(frames: &Frames) -> Self {
        let (family, number) = (frames.family(), frames.protocol);
        let len = frames.len.clamp(shortest_frame(family, number), MAX_FRAME);
        let sender = first_source(family);
        let headers = match (family, number) {
            (Family::V4, protocol::UDP) => ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN,
            (Family::V6, protocol::UDP) => ethernet::HEADER_LEN + ipv6::HEADER_LEN + udp::HEADER_LEN,
            (Family::V4, _) => ethernet::HEADER_LEN + ipv4::HEADER_LEN + tcp::HEADER_LEN,
            (Family::V6, _) => ethernet::HEADER_LEN + ipv6::HEADER_LEN + tcp::HEADER_LEN,
        };
        let mut payload = vec![0; len - headers];
        // What the first flow to the first service has there: complements of its port and of the number zero.
        let complements = 0xffff_0000 | u32::from(!sender.port());
        let craft = if number == protocol::UDP {
            payload[..VARIED_PAYLOAD].copy_from_slice(&complements.to_be_bytes());
            Craft::udp(sender, frames.service)
        } else {
            Craft::tcp(sender, frames.service, frames.flags).numbers(complements, 0)
        };
        let craft = craft.macs(frames.destination, SENDER_MAC).identification(u16::MAX);
        let flows = frames.flows.clamp(1, MAX_FLOWS);
        Self {
            template: craft.payload(&payload).frame(),
            places: Places::new(family, number),
            mix: (frames.services > 1).then(|| Mix::new(frames.services, frames.spreading)),
            flows,
            step: step(flows),
            next: 0,
        }
    }

    /// How many flows there are.
    #[must_use]
    pub const fn flows(&self) -> u32 {
        self.flows
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
        let (next, wraps) = flow.overflowing_sub(self.flows - self.step);
        self.next = if wraps { flow + self.step } else { next };
        let frame = packet.frame_mut();
        frame.copy_from_slice(&self.template);
        let Places { source, port: at, port_complement, destination, destination_complements } = self.places;
        let (address, port) = fields(flow);
        frame[source..source + 4].copy_from_slice(&address);
        frame[at..at + 2].copy_from_slice(&port.to_be_bytes());
        frame[port_complement..port_complement + 2].copy_from_slice(&(!port).to_be_bytes());
        if let Some(mix) = &self.mix {
            let number = mix.of(flow);
            frame[destination..destination + 2].copy_from_slice(&number.to_be_bytes());
            for place in destination_complements {
                frame[place..place + 2].copy_from_slice(&(!number).to_be_bytes());
            }
        }
        true
    }
}

/// The golden section of `flows`, or the next larger number that has no divisor in common with it: a walk by it visits all.
fn step(flows: u32) -> u32 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let from = (f64::from(flows) * GOLDEN) as u32;
    (from..flows).find(|step| *step > 0 && greatest_common_divisor(*step, flows) == 1).unwrap_or(1)
}

const fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_dataplane::memory::MemoryPacket;
    use guideway_dataplane::parse::{Outcome, Parsed, parse};
    use guideway_dataplane::snapshot::PortState;
    use std::collections::HashSet;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];

    /// Every kind of traffic, of 1,000 flows.
    fn kinds() -> Vec<Frames> {
        let services = ["198.18.0.0:80", "[2001:db8:113::]:80"].map(|service| service.parse().expect("an address"));
        let mut kinds = Vec::new();
        for service in services {
            for (protocol, services) in
                [(protocol::TCP, 1), (protocol::TCP, 300), (protocol::UDP, 1), (protocol::UDP, 300)]
            {
                for len in [0, 75, 1_514, 9_000] {
                    kinds.push(Frames { protocol, services, ..Frames::established(MAC, service, 1_000, len) });
                }
            }
        }
        kinds
    }

    fn frames(traffic: &mut Traffic, count: usize) -> Vec<Vec<u8>> {
        let frame = |_| {
            let mut packet = MemoryPacket::new(&[]);
            assert!(traffic.write(&mut packet));
            packet.frame().to_vec()
        };
        (0..count).map(frame).collect()
    }

    fn parsed(frame: &[u8]) -> Parsed {
        match parse(frame, frame.len(), &PortState::new(MAC)) {
            Outcome::Packet(parsed) => parsed,
            other => panic!("{other:?}"),
        }
    }

    /// RFC 9293, section 3.1, and RFC 768: zero over pseudo header and segment. Written with the definition only.
    fn checksum_is_right(frame: &[u8], parsed: &Parsed) -> bool {
        let ip = &frame[14..14 + usize::from(parsed.ip_len)];
        let (addresses, segment) = match parsed.family {
            Family::V4 => (&ip[12..20], &ip[20..]),
            Family::V6 => (&ip[8..40], &ip[40..]),
        };
        let bytes = [addresses, &[0, parsed.protocol], &(segment.len() as u16).to_be_bytes(), segment].concat();
        let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0)));
        words.sum::<u64>() % 0xffff == 0
    }

    #[test]
    fn frames_are_right_to_the_checksums_and_flows_are_as_many_as_asked_for() {
        for kind in kinds() {
            let mut traffic = Traffic::new(&kind);
            let frames = frames(&mut traffic, 2_000);
            assert_eq!(frames[..1_000], frames[1_000..]);
            let all: Vec<Parsed> = frames[..1_000].iter().map(|frame| parsed(frame)).collect();
            for (frame, parsed) in frames.iter().zip(&all) {
                assert_eq!(frame.len(), kind.len.clamp(shortest_frame(kind.family(), kind.protocol), 8_996));
                assert_eq!(usize::from(parsed.ip_len) + 14, frame.len());
                assert!(checksum_is_right(frame, parsed), "{frame:02x?}");
                assert_eq!((parsed.protocol, parsed.destination_port), (kind.protocol, 80));
            }
            assert_eq!(all.iter().map(|parsed| parsed.key).collect::<HashSet<_>>().len(), 1_000);
            let destinations: HashSet<IpAddr> = all.iter().map(|parsed| parsed.key.destination()).collect();
            let services: HashSet<IpAddr> =
                (0..kind.services).map(|number| service(kind.service, number).ip()).collect();
            assert!(destinations.is_subset(&services) && destinations.len() * 10 > services.len() * 9);
        }
    }

    #[test]
    fn every_flow_comes_once_in_a_round_and_neighbours_are_far_apart() {
        for flows in [1, 2, 3, 10, 1_000, 65_536, 99_991] {
            let mut traffic = Traffic::new(&Frames::established(MAC, "198.18.0.0:80".parse().expect("one"), flows, 60));
            let mut seen = HashSet::new();
            let mut order = Vec::new();
            for _ in 0..flows {
                assert!(seen.insert(traffic.next));
                order.push(traffic.next);
                traffic.write(&mut MemoryPacket::new(&[]));
            }
            assert_eq!(traffic.next, 0, "{flows}");
            if flows >= 1_000 {
                assert!(order.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > flows / 4), "{flows}");
            }
        }
    }

    #[test]
    fn the_last_flows_are_as_good_as_the_first() {
        for kind in kinds() {
            let mut traffic = Traffic::new(&Frames { flows: u32::MAX, ..kind });
            traffic.next = MAX_FLOWS - 1;
            let frame = &frames(&mut traffic, 1)[0];
            assert!(checksum_is_right(frame, &parsed(frame)));
            assert_eq!(traffic.flows, MAX_FLOWS);
        }
    }
}
