//! A frame as another parser reads it, in the words of [`Parsed`]. Fuzzing compares by this too.

use etherparse::{Ipv6ExtensionSlice, Ipv6ExtensionsSlice, LaxNetSlice, LaxSlicedPacket};
use guideway_dataplane::parse::{Family, FragmentPlace, Kind, Parsed, fragment_place};
use guideway_dataplane::vip::address_bits;
use std::net::IpAddr;

const TCP: u8 = 6;
const UDP: u8 = 17;
const AUTHENTICATION: u8 = 51;
const ICMP: [u8; 2] = [1, 58];

/// An IP packet.
#[derive(Debug)]
pub struct Packet<'f> {
    pub family: Family,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub traffic_class: u8,
    /// What the IP header says.
    pub len: usize,
    /// Of what follows the IP header and its extensions, or the fragment header of a later fragment.
    pub protocol: u8,
    pub fragment: Option<FragmentPlace>,
    /// What follows the IP header and its extensions.
    pub load: &'f [u8],
}

impl<'f> Packet<'f> {
    /// The packet behind the Ethernet header and the tags of a frame; `None` if there is none that could be read.
    pub fn of_frame(frame: &'f [u8]) -> Option<Self> {
        Self::of_sliced(&LaxSlicedPacket::from_ethernet(frame).ok()?)
    }

    /// The packet that these bytes begin with; the end may be missing.
    pub fn of_ip(bytes: &'f [u8]) -> Option<Self> {
        Self::of_sliced(&LaxSlicedPacket::from_ip(bytes).ok()?)
    }

    fn of_sliced(packet: &LaxSlicedPacket<'f>) -> Option<Self> {
        match packet.net.as_ref()? {
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header();
                let protocol = header.protocol().0;
                let fragment = header.is_fragmenting_payload().then(|| FragmentPlace {
                    identification: header.identification().into(),
                    offset: header.fragments_offset().byte_offset(),
                    len: header.total_len() - u16::from(header.ihl()) * 4,
                    more: header.more_fragments(),
                });
                // The other one walks past an authentication header, which is a protocol like any other here.
                let load = if protocol == AUTHENTICATION { &[][..] } else { ip.payload().payload };
                Some(Self {
                    family: Family::V4,
                    source: header.source_addr().into(),
                    destination: header.destination_addr().into(),
                    traffic_class: header.dcp().value() << 2 | header.ecn().value(),
                    len: header.total_len().into(),
                    protocol,
                    fragment,
                    load,
                })
            }
            LaxNetSlice::Ipv6(ip) => {
                let header = ip.header();
                let fragment = fragment_v6(ip.extensions(), header.payload_length());
                let later = fragment.filter(|(_, place)| place.offset > 0).map(|(next, _)| next);
                Some(Self {
                    family: Family::V6,
                    source: header.source_addr().into(),
                    destination: header.destination_addr().into(),
                    traffic_class: header.traffic_class(),
                    len: usize::from(header.payload_length()) + 40,
                    protocol: later.unwrap_or(ip.payload().ip_number.0),
                    fragment: fragment.map(|(_, place)| place),
                    load: ip.payload().payload,
                })
            }
            LaxNetSlice::Arp(_) => None,
        }
    }

    /// Ports, source first, if the packet has them.
    pub fn ports(&self) -> (u16, u16) {
        match (self.protocol, self.load) {
            _ if self.fragment.is_some_and(|place| place.offset > 0) => (0, 0),
            (TCP | UDP, [a, b, c, d, ..]) => (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])),
            _ => (0, 0),
        }
    }

    /// TCP flags, or the type of an ICMP message.
    fn flags(&self) -> u8 {
        match self.protocol {
            TCP => self.load[13],
            number if ICMP.contains(&number) => self.load[0],
            _ => 0,
        }
    }

    /// What the first stage must have made of it.
    pub fn expectation(&self, kind: Kind) -> Option<Expectation> {
        let expectation = |protocol, source, (source_port, destination_port), flags| {
            Some(Expectation { protocol, source, destination: self.destination, source_port, destination_port, flags })
        };
        match kind {
            Kind::Whole if self.fragment.is_some() => None,
            Kind::FirstFragment if self.fragment?.offset > 0 => None,
            Kind::LaterFragment if self.fragment?.offset == 0 => None,
            Kind::Whole | Kind::FirstFragment => expectation(self.protocol, self.source, self.ports(), self.flags()),
            Kind::LaterFragment => expectation(self.protocol, self.source, (0, 0), 0),
            Kind::Undecidable(_) => expectation(self.protocol, self.source, (0, 0), self.load[0]),
            Kind::IcmpError => {
                let quote = whole(self.load.get(8..)?);
                let quote = Packet::of_ip(&quote)?;
                let ours = quote.source == self.destination && quote.fragment.is_none_or(|place| place.offset == 0);
                let (own_port, client_port) = quote.ports();
                let ports = (client_port, own_port);
                if ours { expectation(quote.protocol, quote.destination, ports, self.load[0]) } else { None }
            }
        }
    }
}

/// The flow of a packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Expectation {
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    source_port: u16,
    destination_port: u16,
    flags: u8,
}

impl From<&Parsed> for Expectation {
    fn from(parsed: &Parsed) -> Self {
        Self {
            protocol: parsed.key.protocol(),
            source: parsed.key.source(),
            destination: parsed.key.destination(),
            source_port: parsed.key.source_port(),
            destination_port: parsed.key.destination_port(),
            flags: parsed.flags,
        }
    }
}

/// A quoted packet with a length that says how much of it is there: what it said of the whole does not matter.
fn whole(quote: &[u8]) -> Vec<u8> {
    let mut quote = quote.to_vec();
    let len = quote.len() as u16;
    match quote.first().map_or(0, |first| first >> 4) {
        4 if len >= 20 => quote[2..4].copy_from_slice(&len.to_be_bytes()),
        6 if len >= 40 => quote[4..6].copy_from_slice(&(len - 40).to_be_bytes()),
        _ => {}
    }
    quote
}

/// The fragment header that makes a packet a fragment, and the protocol that it names.
fn fragment_v6(extensions: &Ipv6ExtensionsSlice<'_>, payload_len: u16) -> Option<(u8, FragmentPlace)> {
    let mut len = payload_len;
    for extension in extensions.clone() {
        let header_len = match &extension {
            Ipv6ExtensionSlice::HopByHop(header)
            | Ipv6ExtensionSlice::Routing(header)
            | Ipv6ExtensionSlice::DestinationOptions(header) => header.slice().len(),
            Ipv6ExtensionSlice::Fragment(header) => header.slice().len(),
            Ipv6ExtensionSlice::Authentication(header) => header.slice().len(),
        };
        len = len.saturating_sub(header_len as u16);
        if let Ipv6ExtensionSlice::Fragment(header) = extension
            && header.is_fragmenting_payload()
        {
            let place = FragmentPlace {
                identification: header.identification(),
                offset: header.fragment_offset().byte_offset(),
                len,
                more: header.more_fragments(),
            };
            return Some((header.next_header().0, place));
        }
    }
    None
}

/// The length of the Ethernet header and the tags of a frame, in bytes.
pub fn link_len(frame: &[u8]) -> usize {
    let tags = LaxSlicedPacket::from_ethernet(frame).map(|packet| packet.link_exts);
    14 + tags.map_or(0, |tags| tags.iter().map(|tag| tag.header_len()).sum())
}

/// In what the two parsers differ about a frame that ours read; `None` if in nothing.
pub fn difference(parsed: &Parsed, frame: &[u8]) -> Option<String> {
    let Some(other) = Packet::of_frame(frame) else { return Some("the other parser reads no packet".to_owned()) };
    let heads = [
        (parsed.family, parsed.traffic_class, usize::from(parsed.ip_len), usize::from(parsed.ip_offset)),
        (other.family, other.traffic_class, other.len, link_len(frame)),
    ];
    let flows = [Some(Expectation::from(parsed)), other.expectation(parsed.kind)];
    let flow = (parsed.destination, parsed.protocol, parsed.source_port, parsed.destination_port);
    let key = &parsed.key;
    let of_key = (address_bits(key.destination()), key.protocol(), key.source_port(), key.destination_port());
    let offset = match parsed.kind {
        Kind::Whole if !other.load.is_empty() => other.load.as_ptr() as usize - frame.as_ptr() as usize,
        _ => parsed.transport_offset.into(),
    };
    let place = fragment_place(frame, parsed);
    let same = heads[0] == heads[1]
        && flows[0] == flows[1]
        && flow == of_key
        && place == other.fragment
        && usize::from(parsed.transport_offset) == offset;
    (!same).then(|| format!("{parsed:?}, {place:?}\nbut {other:?}\n{heads:?}\n{flows:?}"))
}
