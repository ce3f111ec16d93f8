//! The other end of the wire: backends that answer the probes that reach them through a tunnel.

use guideway_dataplane::memory::{MemoryPacket, MemoryQueue};
use guideway_dataplane::port::Packet;
use guideway_dataplane::wire::ethernet;

/// Length of an IPv4 header without options, in bytes.
const IPV4: usize = 20;
/// Length of a TCP header without options, in bytes.
const TCP: usize = 20;
/// Where the packet in the tunnel begins in a frame.
const INNER: usize = ethernet::HEADER_LEN + IPV4;
const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;

/// Answers what was sent. Returns how many SYNs found no room for their answer.
pub fn answer_all(output: &MemoryQueue, input: &MemoryQueue) -> u64 {
    let mut lost = 0;
    while let Some(packet) = output.pop() {
        if let Some(answer) = answer(packet.frame())
            && input.push(MemoryPacket::new(&answer)).is_err()
        {
            lost += 1;
        }
    }
    lost
}

/// The SYN-ACK to a SYN in an IPv4 tunnel over IPv4, as a frame from the router; `None` for everything else. Its TCP checksum is left
/// to hardware, as virtual devices do.
fn answer(frame: &[u8]) -> Option<[u8; ethernet::HEADER_LEN + IPV4 + TCP]> {
    let inner = frame.get(INNER..INNER + IPV4 + TCP)?;
    if inner[IPV4 + 13] != SYN {
        return None;
    }
    let mut answer = [0; ethernet::HEADER_LEN + IPV4 + TCP];
    answer[..6].copy_from_slice(&frame[6..12]);
    answer[6..12].copy_from_slice(&frame[..6]);
    answer[12..14].copy_from_slice(&ethernet::TYPE_IPV4.to_be_bytes());
    let (ip, tcp) = answer[ethernet::HEADER_LEN..].split_at_mut(IPV4);
    ip.copy_from_slice(&inner[..IPV4]);
    // Both addresses change places: the sum of the header stays, but for its length.
    ip[12..16].copy_from_slice(&inner[16..20]);
    ip[16..20].copy_from_slice(&inner[12..16]);
    ip[2..4].copy_from_slice(&((IPV4 + TCP) as u16).to_be_bytes());
    ip[10..12].fill(0);
    let sum = checksum(ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let syn = &inner[IPV4..];
    tcp[..2].copy_from_slice(&syn[2..4]);
    tcp[2..4].copy_from_slice(&syn[..2]);
    tcp[4..8].copy_from_slice(&77_777_u32.to_be_bytes());
    let sequence = u32::from_be_bytes([syn[4], syn[5], syn[6], syn[7]]);
    tcp[8..12].copy_from_slice(&sequence.wrapping_add(1).to_be_bytes());
    tcp[12..16].copy_from_slice(&[0x50, SYN_ACK, 0xff, 0xff]);
    Some(answer)
}

/// RFC 1071, of a header whose own field is zero.
fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}
