//! ARP and neighbour discovery messages: bytes to values and back, with the validity rules of RFC 826 and RFC 4861.

use super::is_unicast;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
    RawHardwareAddress,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The shortest Ethernet frame, without its frame check sequence. Not every driver pads by itself.
pub const MIN_FRAME: usize = 60;
/// The longest frame that this module writes: Ethernet, IPv6, advertisement, one link-layer address option.
pub const MAX_MESSAGE: usize = ETHERNET_HEADER_LEN + 40 + 24 + 8;
/// The Ethernet broadcast address.
pub const BROADCAST: [u8; 6] = [0xff; 6];
/// All nodes of the link, `ff02::1`.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const ICMPV6_SOLICIT: u8 = 135;
const ICMPV6_ADVERT: u8 = 136;

/// ARP's two operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// 1: who has `target`?
    Request,
    /// 2: `sender` is at `sender_mac`.
    Reply,
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// What is asked or said.
    pub operation: Operation,
    /// The sender's Ethernet address, unicast.
    pub sender_mac: [u8; 6],
    /// The sender's address; `0.0.0.0` in a probe (RFC 5227).
    pub sender: Ipv4Addr,
    /// Unknown, hence anything, in a request.
    pub target_mac: [u8; 6],
    /// The address that is asked for, or the one that asked.
    pub target: Ipv4Addr,
}

/// A valid neighbour solicitation (RFC 4861 section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicit {
    /// The frame's source, unicast.
    pub mac: [u8; 6],
    /// The sender's address; `::` while it checks for duplicates.
    pub source: Ipv6Addr,
    /// The packet's destination.
    pub destination: Ipv6Addr,
    /// The address that is asked for.
    pub target: Ipv6Addr,
    /// The source link-layer address option.
    pub option: Option<[u8; 6]>,
}

/// A valid neighbour advertisement (RFC 4861 section 7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The frame's source, unicast.
    pub mac: [u8; 6],
    /// The sender's address.
    pub source: Ipv6Addr,
    /// The packet's destination.
    pub destination: Ipv6Addr,
    /// The address that the message is about.
    pub target: Ipv6Addr,
    /// The target link-layer address option.
    pub option: Option<[u8; 6]>,
    /// An answer to a solicitation.
    pub solicited: bool,
    /// Replaces what is known.
    pub overrides: bool,
}

/// A message about neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// ARP.
    Arp(Arp),
    /// Neighbour solicitation.
    Solicit(Solicit),
    /// Neighbour advertisement.
    Advert(Advert),
}

/// Why a frame holds no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is something else.
    Other,
    /// It breaks a validity rule.
    Malformed,
}

/// Reads an untagged Ethernet frame.
///
/// # Errors
///
/// [`Unread`]: another protocol, or invalid.
pub fn parse(frame: &[u8]) -> Result<Message, Unread> {
    let frame = EthernetFrame::new_checked(frame).map_err(|_| Unread::Other)?;
    let mac = frame.src_addr().0;
    match frame.ethertype() {
        EthernetProtocol::Arp => parse_arp(frame.payload()).map(Message::Arp),
        EthernetProtocol::Ipv6 => parse_ndp(mac, frame.payload()),
        _ => Err(Unread::Other),
    }
}

fn parse_arp(bytes: &[u8]) -> Result<Arp, Unread> {
    let packet = ArpPacket::new_checked(bytes).map_err(|_| Unread::Malformed)?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(sender_mac),
        source_protocol_addr: sender,
        target_hardware_addr: EthernetAddress(target_mac),
        target_protocol_addr: target,
    } = ArpRepr::parse(&packet).map_err(|_| Unread::Malformed)?
    else {
        return Err(Unread::Malformed);
    };
    let operation = match operation {
        ArpOperation::Request => Operation::Request,
        ArpOperation::Reply => Operation::Reply,
        ArpOperation::Unknown(_) => return Err(Unread::Other),
    };
    if !is_unicast(sender_mac) || sender.is_multicast() || sender.is_broadcast() {
        return Err(Unread::Malformed);
    }
    Ok(Arp { operation, sender_mac, sender, target_mac, target })
}

fn parse_ndp(mac: [u8; 6], bytes: &[u8]) -> Result<Message, Unread> {
    let packet = Ipv6Packet::new_checked(bytes).map_err(|_| Unread::Other)?;
    if packet.version() != 6 || packet.next_header() != IpProtocol::Icmpv6 {
        return Err(Unread::Other);
    }
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    let icmp = Icmpv6Packet::new_unchecked(packet.payload());
    if !matches!(packet.payload().first(), Some(&(ICMPV6_SOLICIT | ICMPV6_ADVERT))) {
        return Err(Unread::Other);
    }
    if packet.hop_limit() != 255 || !is_unicast(mac) || source.is_multicast() {
        return Err(Unread::Malformed);
    }
    // Checks length, checksum, code 0 and that every option has a length other than zero.
    let repr = Icmpv6Repr::parse(&source, &destination, &icmp, &ChecksumCapabilities::default());
    match repr {
        Ok(Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr: target, lladdr })) => {
            let option = link_layer(lladdr)?;
            let duplicate_check = source.is_unspecified();
            let allowed = !duplicate_check || (is_solicited_node(destination) && option.is_none());
            if target.is_multicast() || !allowed {
                return Err(Unread::Malformed);
            }
            Ok(Message::Solicit(Solicit { mac, source, destination, target, option }))
        }
        Ok(Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr })) => {
            let option = link_layer(lladdr)?;
            let solicited = flags.contains(NdiscNeighborFlags::SOLICITED);
            if target.is_multicast() || source.is_unspecified() || (destination.is_multicast() && solicited) {
                return Err(Unread::Malformed);
            }
            let overrides = flags.contains(NdiscNeighborFlags::OVERRIDE);
            Ok(Message::Advert(Advert { mac, source, destination, target, option, solicited, overrides }))
        }
        _ => Err(Unread::Malformed),
    }
}

/// The Ethernet address in a link-layer address option; an error unless it is the address of one host.
fn link_layer(option: Option<RawHardwareAddress>) -> Result<Option<[u8; 6]>, Unread> {
    let Some(raw) = option else { return Ok(None) };
    let mac = raw.as_bytes().get(..6).and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
    mac.filter(|mac| is_unicast(*mac)).map(Some).ok_or(Unread::Malformed)
}

/// The solicited-node group of an address: `ff02::1:ff` and its last three bytes (RFC 4291 section 2.7.1).
#[must_use]
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

fn is_solicited_node(address: Ipv6Addr) -> bool {
    address == solicited_node(address)
}

/// The Ethernet group that carries an IPv6 group: `33:33` and its last four bytes (RFC 2464 section 7).
#[must_use]
pub fn group_mac(group: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// Writes an ARP packet from `arp.sender_mac` to `destination`, padded to [`MIN_FRAME`], and returns the frame.
pub fn write_arp<'a>(buffer: &'a mut [u8; MAX_MESSAGE], destination: [u8; 6], arp: &Arp) -> &'a [u8] {
    buffer.fill(0);
    let repr = ArpRepr::EthernetIpv4 {
        operation: match arp.operation {
            Operation::Request => ArpOperation::Request,
            Operation::Reply => ArpOperation::Reply,
        },
        source_hardware_addr: EthernetAddress(arp.sender_mac),
        source_protocol_addr: arp.sender,
        target_hardware_addr: EthernetAddress(arp.target_mac),
        target_protocol_addr: arp.target,
    };
    let mut frame = ethernet(&mut buffer[..], arp.sender_mac, destination, EthernetProtocol::Arp);
    repr.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    &buffer[..MIN_FRAME]
}

/// Writes a neighbour solicitation from `mac`/`source` to `destination`, with the source link-layer address option,
/// and returns the frame. `source` is not `::`.
pub fn write_solicit(
    buffer: &mut [u8; MAX_MESSAGE],
    mac: [u8; 6],
    source: Ipv6Addr,
    (destination_mac, destination): ([u8; 6], Ipv6Addr),
    target: Ipv6Addr,
) -> &[u8] {
    let repr = NdiscRepr::NeighborSolicit { target_addr: target, lladdr: Some(EthernetAddress(mac).into()) };
    write_ndp(buffer, (mac, source), (destination_mac, destination), repr)
}

/// Writes a neighbour advertisement of `target` at `mac`, with the override flag and the target link-layer address
/// option, and returns the frame.
pub fn write_advert(
    buffer: &mut [u8; MAX_MESSAGE],
    mac: [u8; 6],
    target: Ipv6Addr,
    (destination_mac, destination): ([u8; 6], Ipv6Addr),
    solicited: bool,
) -> &[u8] {
    let mut flags = NdiscNeighborFlags::OVERRIDE;
    flags.set(NdiscNeighborFlags::SOLICITED, solicited);
    let repr = NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr: Some(EthernetAddress(mac).into()) };
    write_ndp(buffer, (mac, target), (destination_mac, destination), repr)
}

fn write_ndp<'a>(
    buffer: &'a mut [u8; MAX_MESSAGE],
    (mac, source): ([u8; 6], Ipv6Addr),
    (destination_mac, destination): ([u8; 6], Ipv6Addr),
    repr: NdiscRepr<'_>,
) -> &'a [u8] {
    buffer.fill(0);
    let repr = Icmpv6Repr::Ndisc(repr);
    let ip = Ipv6Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Icmpv6,
        payload_len: repr.buffer_len(),
        hop_limit: 255,
    };
    let mut frame = ethernet(&mut buffer[..], mac, destination_mac, EthernetProtocol::Ipv6);
    let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet);
    let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
    repr.emit(&source, &destination, &mut icmp, &ChecksumCapabilities::default());
    &buffer[..]
}

/// Writes an Ethernet header at the start of `buffer`.
pub(crate) fn ethernet(
    buffer: &mut [u8],
    source: [u8; 6],
    destination: [u8; 6],
    ethertype: EthernetProtocol,
) -> EthernetFrame<&mut [u8]> {
    let mut frame = EthernetFrame::new_unchecked(buffer);
    EthernetRepr { src_addr: EthernetAddress(source), dst_addr: EthernetAddress(destination), ethertype }
        .emit(&mut frame);
    frame
}
