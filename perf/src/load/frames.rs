//! The frames of the generator: TCP segments of many flows to one or more services, each with a stamp.

use super::stamp::{Stamp, headers};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::port::Packet;
use guideway_dataplane::wire::checksum::{fold, sum};
use guideway_dataplane::wire::ethernet::{self, Mac};
use guideway_dataplane::wire::{protocol, tcp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Bytes that Ethernet puts behind a frame.
pub const FRAME_CHECK_SEQUENCE: usize = 4;
/// The shortest frame on the wire, and the longest that the generator makes.
pub const SIZES: std::ops::RangeInclusive<usize> = 64..=9_018;
/// The most flows.
pub const MAX_FLOWS: u32 = 1 << (PORT_BITS + 8);

/// Source ports take this many bits; the bit above them is set, so that no port is zero.
const PORT_BITS: u32 = 15;
/// The simple mix of internet traffic, 7:4:1, its frames apart from each other.
const IMIX: [usize; 12] = [64, 594, 64, 594, 64, 1_518, 64, 594, 64, 594, 64, 64];

/// Lengths of frames on the wire, in bytes with the frame check sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameSize {
    /// All frames are this long, or as long as the family needs.
    Fixed(usize),
    /// Seven of 64, four of 594, one of 1,518.
    Imix,
}

impl FrameSize {
    /// The lengths on the wire in the order of sending, raised to what a stamped segment of the family needs.
    #[must_use]
    pub fn lengths(self, v6: bool) -> Vec<usize> {
        let least = ethernet::HEADER_LEN + headers(v6) + FRAME_CHECK_SEQUENCE;
        let raised = |size: usize| size.max(least);
        match self {
            Self::Fixed(size) => vec![raised(size)],
            Self::Imix => IMIX.into_iter().map(raised).collect(),
        }
    }

    /// Bytes of a frame on the wire, on average.
    #[must_use]
    pub fn mean(self, v6: bool) -> f64 {
        let lengths = self.lengths(v6);
        lengths.iter().sum::<usize>() as f64 / lengths.len() as f64
    }

    /// The longest packet in it, in bytes from the IP header on.
    #[must_use]
    pub fn longest_packet(self, v6: bool) -> usize {
        let longest = self.lengths(v6).into_iter().max().unwrap_or_default();
        longest.saturating_sub(FRAME_CHECK_SEQUENCE + ethernet::HEADER_LEN)
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Imix => f.write_str("IMIX"),
        }
    }
}

impl FromStr for FrameSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("imix") {
            return Ok(Self::Imix);
        }
        let size = text.parse().ok().filter(|size| SIZES.contains(size));
        size.map(Self::Fixed).ok_or_else(|| format!("{} to {} bytes, or imix", SIZES.start(), SIZES.end()))
    }
}

/// What frames are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSetup {
    /// The balancer's hardware address.
    pub destination: Mac,
    /// The generator's.
    pub source: Mac,
    /// The first service.
    pub service: SocketAddr,
    /// Services: the addresses from the first one on, in turns. The last 16 bits of the address must not overflow.
    pub services: u16,
    /// Flows, in turns: 1 to [`MAX_FLOWS`].
    pub flows: u32,
    /// Lengths.
    pub size: FrameSize,
}

/// One length of frames.
#[derive(Clone, Debug)]
struct Template {
    frame: Vec<u8>,
    /// Sums of what goes into the checksums, without the words that vary.
    ip_sum: u32,
    tcp_sum: u32,
}

/// Writes frames.
#[derive(Clone, Debug)]
pub struct Frames {
    templates: Vec<Template>,
    v6: bool,
    /// The last word of the first source and of the first destination.
    first: (u16, u16),
    flows: u32,
    services: u16,
    next_template: usize,
    next_flow: u32,
    next_service: u16,
}

impl Frames {
    /// Frames to a setup.
    #[must_use]
    pub fn new(setup: &FrameSetup) -> Self {
        let v6 = setup.service.is_ipv6();
        let template = |wire: usize| Template::new(setup, wire - FRAME_CHECK_SEQUENCE);
        Self {
            templates: setup.size.lengths(v6).into_iter().map(template).collect(),
            v6,
            first: (last_word(first_source(v6)), last_word(setup.service.ip())),
            flows: setup.flows.clamp(1, MAX_FLOWS),
            services: setup.services.max(1),
            next_template: 0,
            next_flow: 0,
            next_service: 0,
        }
    }

    /// Makes `packet` the next frame. Returns `false` if the buffer is too small for it.
    #[inline]
    pub fn write(&mut self, packet: &mut impl Packet, stamp: Stamp) -> bool {
        let template = &self.templates[self.next_template];
        if !packet.resize(template.frame.len()) {
            return false;
        }
        let (flow, service) = (self.next_flow, self.next_service);
        self.next_template = wrapped(self.next_template + 1, self.templates.len());
        self.next_flow = wrapped(flow as usize + 1, self.flows as usize) as u32;
        self.next_service = wrapped(usize::from(service) + 1, self.services.into()) as u16;
        let source = self.first.0 + (flow >> PORT_BITS) as u16;
        let destination = self.first.1.wrapping_add(service);
        let port = (1 << PORT_BITS | flow & ((1 << PORT_BITS) - 1)) as u16;
        let frame = packet.frame_mut();
        frame.copy_from_slice(&template.frame);
        let addresses = u32::from(source) + u32::from(destination);
        let places = if self.v6 { (36, 52) } else { (28, 32) };
        put(frame, places.0, source);
        put(frame, places.1, destination);
        if !self.v6 {
            put(frame, 24, !fold(template.ip_sum + addresses));
        }
        let tcp = ethernet::HEADER_LEN + headers(self.v6) - tcp::HEADER_LEN;
        put(frame, tcp, port);
        stamp.write(&mut frame[tcp..]);
        put(frame, tcp + 16, !fold(template.tcp_sum + addresses + u32::from(port) + stamp.sum()));
        true
    }
}

impl Template {
    fn new(setup: &FrameSetup, len: usize) -> Self {
        let v6 = setup.service.is_ipv6();
        let tcp = ethernet::HEADER_LEN + headers(v6) - tcp::HEADER_LEN;
        let source = SocketAddr::new(first_source(v6), 1);
        let mut frame = Craft::tcp(source, setup.service, tcp::ACK)
            .macs(setup.destination, setup.source)
            .payload(&vec![0; len - tcp - tcp::HEADER_LEN])
            .frame();
        // What varies counts as zero in the sums, and so does the checksum itself.
        let zeroed: &[usize] = if v6 { &[36, 52] } else { &[24, 28, 32] };
        for &place in zeroed.iter().chain(&[tcp, tcp + 16]) {
            put(&mut frame, place, 0);
        }
        Stamp::default().write(&mut frame[tcp..]);
        let (addresses, ip_sum) = if v6 { (22..54, 0) } else { (26..34, u32::from(fold(sum(&frame[14..34])))) };
        let segment = (len - tcp) as u32;
        let tcp_sum = sum(&frame[addresses]) + sum(&frame[tcp..]) + segment + u32::from(protocol::TCP);
        Self { frame, ip_sum, tcp_sum: u32::from(fold(tcp_sum)) }
    }
}

/// Where flows begin: the networks that are set aside for benchmarks (RFC 2544, RFC 5180).
fn first_source(v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1).into() } else { Ipv4Addr::new(198, 18, 0, 1).into() }
}

fn last_word(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u16,
        IpAddr::V6(address) => address.to_bits() as u16,
    }
}

#[inline]
const fn wrapped(next: usize, len: usize) -> usize {
    if next >= len { 0 } else { next }
}

#[inline]
fn put(frame: &mut [u8], at: usize, word: u16) {
    frame[at..at + 2].copy_from_slice(&word.to_be_bytes());
}
