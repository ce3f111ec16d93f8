//! A frame in several segments, and the case that the tests vary.

use crate::naive::Expected;
use guideway_dataplane::craft::Craft;
use guideway_dataplane::ids::{BackendId, PortId};
use guideway_dataplane::memory::MemoryPacket;
use guideway_dataplane::parse::{Outcome, Parsed, parse};
use guideway_dataplane::port::Packet;
use guideway_dataplane::rewrite::{Backend, Encapsulation, Gue, GueVariant, NextHop, Rewrite, Source, Tunnel};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::wire::ethernet::Mac;
use guideway_dataplane::wire::tcp;
use guideway_dataplane::wire::vlan::Tags;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::SocketAddr;

pub const PORT: Mac = [2, 0, 0, 0, 0, 1];
pub const GATEWAY: Mac = [2, 0, 0, 0, 0, 0xfe];
pub const NEIGHBOR: Mac = [2, 0, 0, 0, 1, 0x0b];

/// A chain: its first segment has headroom, the others follow.
pub struct Chain {
    pub first: MemoryPacket,
    pub rest: Vec<Vec<u8>>,
}

impl Chain {
    /// `frame` in segments that begin at these offsets.
    pub fn new(frame: &[u8], mut cuts: Vec<usize>) -> Self {
        cuts.push(frame.len());
        let rest = cuts.windows(2).map(|ends| frame[ends[0]..ends[1]].to_vec()).collect();
        Self { first: MemoryPacket::new(&frame[..cuts[0]]), rest }
    }

    pub fn bytes(&self) -> Vec<u8> {
        [self.first.frame(), &self.rest.concat()].concat()
    }
}

impl Packet for Chain {
    fn frame(&self) -> &[u8] {
        self.first.frame()
    }
    fn frame_mut(&mut self) -> &mut [u8] {
        self.first.frame_mut()
    }
    fn total_len(&self) -> usize {
        self.bytes().len()
    }
    fn for_each_segment(&self, visit: &mut dyn FnMut(&[u8])) {
        visit(self.frame());
        self.rest.iter().for_each(|segment| visit(segment));
    }
    fn prepend(&mut self, n: usize) -> bool {
        self.first.prepend(n)
    }
    fn trim_front(&mut self, n: usize) -> bool {
        self.first.trim_front(n)
    }
    fn resize(&mut self, len: usize) -> bool {
        self.rest.is_empty() && self.first.resize(len)
    }
}

/// What is varied.
#[derive(Clone, Debug)]
pub struct Case {
    pub encapsulation: Encapsulation,
    pub outer_v6: bool,
    pub inner_v6: bool,
    pub payload: Vec<u8>,
    pub traffic_class: u8,
    pub padding: usize,
    /// Bytes between source address and EtherType as the frame comes in.
    pub tags_in: Vec<u8>,
    pub tags: Tags,
    pub entropy: u16,
    /// Length of the prefix that the outer source is of; `None` is one address.
    pub prefix: Option<u8>,
}

pub fn encapsulations() -> Vec<Encapsulation> {
    let gue = |variant, checksum| Encapsulation::Gue(Gue { port: 6080, variant, checksum });
    let (header, direct) = (GueVariant::Header, GueVariant::Direct);
    let gues = [gue(header, false), gue(header, true), gue(direct, false), gue(direct, true)];
    [[Encapsulation::Ipip, Encapsulation::Gre].as_slice(), &gues].concat()
}

pub fn case() -> impl Strategy<Value = Case> {
    let tags_in = prop::sample::select(vec![0, 4, 8]).prop_map(|len| vec![0xee; len]);
    let tags = prop_oneof![
        Just(Tags::NONE),
        (1_u16..4_095).prop_map(Tags::customer),
        (1_u16..4_095, 1_u16..4_095).prop_map(|(svid, vid)| Tags::service(svid, vid)),
    ];
    let forms = (prop::sample::select(encapsulations()), any::<bool>(), any::<bool>());
    let inner = (vec(any::<u8>(), 0..1_380), any::<u8>(), 0_usize..50);
    let link = (tags_in, tags, any::<u16>(), prop::option::of(1_u8..=32));
    (forms, inner, link).prop_map(|(forms, inner, link)| {
        let (encapsulation, outer_v6, inner_v6) = forms;
        let (payload, traffic_class, padding) = inner;
        let (tags_in, tags, entropy, prefix) = link;
        Case { encapsulation, outer_v6, inner_v6, payload, traffic_class, padding, tags_in, tags, entropy, prefix }
    })
}

impl Case {
    /// One without tags, padding or prefix.
    pub fn plain(encapsulation: Encapsulation, outer_v6: bool, inner_v6: bool, payload: &[u8]) -> Self {
        let (payload, tags_in, tags) = (payload.to_vec(), vec![], Tags::NONE);
        let (traffic_class, padding, entropy, prefix) = (0, 0, 0x1234, None);
        Self { encapsulation, outer_v6, inner_v6, payload, traffic_class, padding, tags_in, tags, entropy, prefix }
    }

    pub fn craft(&self) -> Craft {
        let [source, destination]: [SocketAddr; 2] = if self.inner_v6 {
            ["[2001:db8::7]:40000", "[2001:db8:10::10]:80"].map(|address| address.parse().unwrap())
        } else {
            ["192.0.2.7:40000", "203.0.113.10:80"].map(|address| address.parse().unwrap())
        };
        let craft = Craft::tcp(source, destination, tcp::ACK).macs(PORT, GATEWAY);
        craft.payload(&self.payload).traffic_class(self.traffic_class)
    }

    pub fn inner(&self) -> Vec<u8> {
        self.craft().ip_packet()
    }

    /// The frame as it comes in, and what parsing makes of it.
    pub fn frame(&self) -> (Vec<u8>, Parsed) {
        let (frame, parsed) = parsed(&self.craft());
        let mut tagged = [&frame[..12], &self.tags_in, &frame[12..]].concat();
        tagged.resize(tagged.len() + self.padding, 0);
        (tagged, Parsed { ip_offset: (14 + self.tags_in.len()) as u16, ..parsed })
    }

    pub fn tunnel(&self) -> Tunnel {
        if self.outer_v6 {
            let (source, to) = ("fd00::5:a0b1".parse().unwrap(), "fd00:1::13".parse().unwrap());
            // Prefixes of the same host length as in IPv4.
            let source = self.prefix.map_or(Source::from(source), |len| Source::prefix_v6(source, len + 96));
            Tunnel::v6(source, to, self.encapsulation)
        } else {
            let (source, to) = ("10.200.160.177".parse().unwrap(), "10.0.1.12".parse().unwrap());
            let source = self.prefix.map_or(Source::from(source), |len| Source::prefix_v4(source, len));
            Tunnel::v4(source, to, self.encapsulation)
        }
    }

    pub fn backend(&self, mtu: u16, rewrite: impl Into<Rewrite>) -> Backend {
        let hop = NextHop { egress: PortId(3), source: PORT, destination: Some(NEIGHBOR), mtu, tags: self.tags };
        Backend { id: BackendId(9), hops: hop.into(), rewrite: rewrite.into() }
    }

    pub fn expected(&self) -> Vec<u8> {
        Expected::of(self).frame()
    }
}

pub fn parsed(craft: &Craft) -> (Vec<u8>, Parsed) {
    let frame = craft.frame();
    let port = PortState::new(PORT);
    match parse(&frame, frame.len(), &port) {
        Outcome::Packet(parsed) => (frame, parsed),
        other => panic!("{other:?}"),
    }
}
