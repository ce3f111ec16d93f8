//! A reset for a segment to a port that nobody listens on (RFC 9293 section 3.10.7.1).

use super::ip::{HOPS, Ip};
use super::{MAX_ANSWER, Reason};
use crate::neighbor::wire;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetProtocol, IpAddress, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

/// Length of a TCP header without options, in bytes.
const TCP_HEADER: usize = 20;

/// A reset to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reset {
    ports: (u16, u16),
    sequence: TcpSeqNumber,
    acknowledgment: Option<TcpSeqNumber>,
}

/// What the segment is answered with. A reset is not answered.
pub(super) fn plan(frame: &[u8], ip: &Ip) -> Result<Reset, Reason> {
    let segment = TcpPacket::new_checked(&frame[ip.payload.clone()]).map_err(|_| Reason::Malformed)?;
    if !segment.verify_checksum(&IpAddress::from(ip.source), &IpAddress::from(ip.destination)) {
        return Err(Reason::Malformed);
    }
    if segment.rst() {
        return Err(Reason::Refused);
    }
    let ports = (segment.dst_port(), segment.src_port());
    Ok(if segment.ack() {
        Reset { ports, sequence: segment.ack_number(), acknowledgment: None }
    } else {
        let length = segment.payload().len() + usize::from(segment.syn()) + usize::from(segment.fin());
        Reset { ports, sequence: TcpSeqNumber(0), acknowledgment: Some(segment.seq_number() + length) }
    })
}

impl Reset {
    /// Writes the frame and returns its length.
    pub(super) fn write(&self, buffer: &mut [u8; MAX_ANSWER], ip: &Ip) -> usize {
        let (source, destination) = (IpAddress::from(ip.destination), IpAddress::from(ip.source));
        let repr = IpRepr::new(source, destination, IpProtocol::Tcp, TCP_HEADER, HOPS);
        let checksums = ChecksumCapabilities::default();
        let ethertype = if ip.source.is_ipv4() { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 };
        let mut frame = wire::ethernet(&mut buffer[..], ip.macs.1, ip.macs.0, ethertype);
        let payload = frame.payload_mut();
        repr.emit(&mut payload[..repr.buffer_len()], &checksums);
        let segment = &mut payload[repr.header_len()..repr.buffer_len()];
        self.repr().emit(&mut TcpPacket::new_unchecked(segment), &source, &destination, &checksums);
        ETHERNET_HEADER_LEN + repr.buffer_len()
    }

    fn repr(&self) -> TcpRepr<'static> {
        TcpRepr {
            src_port: self.ports.0,
            dst_port: self.ports.1,
            control: TcpControl::Rst,
            seq_number: self.sequence,
            ack_number: self.acknowledgment,
            window_len: 0,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        }
    }
}
