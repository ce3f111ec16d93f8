//! Captured frames as values: what the analysis of a capture needs of each IP packet.

use crate::address::Mac;
use crate::unwrap;
use anyhow::{Context, Result};
use etherparse::{LaxNetSlice, LaxSlicedPacket, LinkSlice, TransportSlice, ip_number};
use pcap_file::TsResolution;
use pcap_file::pcap::PcapReader;
use std::fs::File;
use std::io::BufReader;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The five values that tell one flow from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// Who sends; port 0 where the protocol has none.
    pub source: SocketAddr,
    /// Who receives; port 0 where the protocol has none.
    pub destination: SocketAddr,
    /// The protocol number (6 TCP, 17 UDP, …).
    pub protocol: u8,
}

/// A TCP header, as far as the analysis needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of a TCP header")]
pub struct Tcp {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// SYN flag.
    pub syn: bool,
    /// ACK flag.
    pub ack: bool,
    /// FIN flag.
    pub fin: bool,
    /// RST flag.
    pub rst: bool,
}

impl Tcp {
    /// Whether it opens a connection.
    pub fn is_start(&self) -> bool {
        self.syn && !self.ack
    }
}

/// A captured IP packet. Of a tunnel packet, `flow` and `tcp` are those of the inner packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When the kernel saw it.
    pub time: SystemTime,
    /// Ethernet source.
    pub source_mac: Mac,
    /// Ethernet destination.
    pub destination_mac: Mac,
    /// Source and destination of the outer header, of tunnel packets.
    pub outer: Option<(IpAddr, IpAddr)>,
    /// Addresses, protocol, ports.
    pub flow: Flow,
    /// Of TCP packets.
    pub tcp: Option<Tcp>,
    /// Length on the wire in bytes, from the Ethernet header on.
    pub length: u32,
}

/// All IP packets of a capture file, in its order. Other frames (ARP, …) are left out.
pub fn read_capture(path: &Path) -> Result<Vec<Packet>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut reader = PcapReader::new(BufReader::new(file)).with_context(|| format!("{}: no pcap", path.display()))?;
    let nanoseconds_per_fraction = match reader.header().ts_resolution {
        TsResolution::MicroSecond => 1000,
        TsResolution::NanoSecond => 1,
    };
    let mut packets = Vec::new();
    // Raw records, since the reader's own packets refuse frames that were cut at the snap length.
    while let Some(record) = reader.next_raw_packet() {
        let record = record.with_context(|| format!("{}: behind packet {}", path.display(), packets.len()))?;
        let nanoseconds = u64::from(record.ts_frac) * nanoseconds_per_fraction;
        let since_epoch = Duration::from_secs(record.ts_sec.into()) + Duration::from_nanos(nanoseconds);
        packets.extend(parse_frame(UNIX_EPOCH + since_epoch, record.orig_len, &record.data));
    }
    Ok(packets)
}

/// The frames of a capture file of any kind, whole or cut at the snap length.
pub fn read_frames(path: &Path) -> Result<Vec<Vec<u8>>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut reader = PcapReader::new(BufReader::new(file)).with_context(|| format!("{}: no pcap", path.display()))?;
    let mut frames = Vec::new();
    while let Some(record) = reader.next_raw_packet() {
        let record = record.with_context(|| format!("{}: behind frame {}", path.display(), frames.len()))?;
        frames.push(record.data.into_owned());
    }
    Ok(frames)
}

/// The packet in an Ethernet frame, if it is an IP packet. The frame may be cut short behind the headers.
pub fn parse_frame(time: SystemTime, length: u32, frame: &[u8]) -> Option<Packet> {
    let outer = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let Some(LinkSlice::Ethernet2(ethernet)) = &outer.link else { return None };
    let outer_addresses = addresses(&outer)?;
    let inner = outer.ip_payload().and_then(|payload| match payload.ip_number {
        ip_number::IPV4 | ip_number::IPV6 => Some(payload.payload),
        ip_number::GRE => unwrap::gre_inner(payload.payload),
        ip_number::UDP => unwrap::gue_inner(payload.payload),
        _ => None,
    });
    let inner = inner.map(LaxSlicedPacket::from_ip).transpose().ok()?;
    let (packet, outer_header) = match &inner {
        Some(inner) => (inner, Some(outer_addresses)),
        None => (&outer, None),
    };
    let (source, destination) = addresses(packet)?;
    let (ports, tcp) = transport(packet);
    Some(Packet {
        time,
        source_mac: ethernet.source(),
        destination_mac: ethernet.destination(),
        outer: outer_header,
        flow: Flow {
            source: SocketAddr::new(source, ports.0),
            destination: SocketAddr::new(destination, ports.1),
            protocol: packet.ip_payload().map_or(0, |payload| payload.ip_number.0),
        },
        tcp,
        length,
    })
}

fn addresses(packet: &LaxSlicedPacket<'_>) -> Option<(IpAddr, IpAddr)> {
    match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        LaxNetSlice::Ipv6(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        LaxNetSlice::Arp(_) => None,
    }
}

fn transport(packet: &LaxSlicedPacket<'_>) -> ((u16, u16), Option<Tcp>) {
    match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => (
            (tcp.source_port(), tcp.destination_port()),
            Some(Tcp {
                sequence: tcp.sequence_number(),
                acknowledgement: tcp.acknowledgment_number(),
                syn: tcp.syn(),
                ack: tcp.ack(),
                fin: tcp.fin(),
                rst: tcp.rst(),
            }),
        ),
        Some(TransportSlice::Udp(udp)) => ((udp.source_port(), udp.destination_port()), None),
        _ => ((0, 0), None),
    }
}
