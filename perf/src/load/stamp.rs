//! What each packet carries from the generator to the receiver: its number and when it was sent.
//!
//! The stamp lies in fields of the TCP header that a balancer without windows has no use for: sequence number,
//! acknowledgement number and window. So it fits into the shortest frame, lies at the same place in a frame of any
//! length, and no tunnel touches it.

use guideway_dataplane::wire::ethernet::{TYPE_IPV4, TYPE_IPV6};
use guideway_dataplane::wire::{ethernet, gre, gue, ipv4, ipv6, protocol, tcp, udp};

/// EtherTypes of VLAN tags.
const TAGS: [u16; 2] = [ethernet::TYPE_VLAN, ethernet::TYPE_QINQ];
/// IP headers on the way to the TCP header, at most.
const DEEPEST: usize = 3;

/// Places in the TCP header.
const DESTINATION_PORT: usize = 2;
const SEQUENCE: usize = 4;
const ACKNOWLEDGEMENT: usize = 8;
const WINDOW: usize = 14;

/// Which packet of which trial, and when it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The trial: a packet that comes late is not one of the next trial.
    pub trial: u16,
    /// Number in the trial, from 0; wraps.
    pub sequence: u32,
    /// The low half of the clock's ticks at sending.
    pub ticks: u32,
}

impl Stamp {
    /// Puts it into a TCP header of at least 20 bytes, but for the checksum: see [`Stamp::sum`].
    #[inline]
    pub fn write(self, header: &mut [u8]) {
        header[SEQUENCE..SEQUENCE + 4].copy_from_slice(&self.sequence.to_be_bytes());
        header[ACKNOWLEDGEMENT..ACKNOWLEDGEMENT + 4].copy_from_slice(&self.ticks.to_be_bytes());
        header[WINDOW..WINDOW + 2].copy_from_slice(&self.trial.to_be_bytes());
    }

    /// Reads it from a TCP header; `None` if that is cut short.
    #[inline]
    #[must_use]
    pub fn read(header: &[u8]) -> Option<Self> {
        let header = header.get(..tcp::HEADER_LEN)?;
        Some(Self {
            trial: u16_at(header, WINDOW)?,
            sequence: u32_at(header, SEQUENCE)?,
            ticks: u32_at(header, ACKNOWLEDGEMENT)?,
        })
    }

    /// The sum of its 16-bit words, for the checksum.
    #[inline]
    #[must_use]
    pub const fn sum(self) -> u32 {
        (self.sequence >> 16)
            + (self.sequence & 0xffff)
            + (self.ticks >> 16)
            + (self.ticks & 0xffff)
            + self.trial as u32
    }
}

/// Whether the TCP header at `offset` goes to `port`, as far as two bytes tell.
#[inline]
#[must_use]
pub fn is_to(frame: &[u8], offset: usize, port: u16) -> bool {
    u16_at(frame, offset + DESTINATION_PORT) == Some(port)
}

/// Where the TCP header to `port` begins in a frame, behind VLAN tags and any of the tunnels that Guideway makes (GUE
/// on `gue_port`). `None`: there is none.
#[must_use]
pub fn find(frame: &[u8], port: u16, gue_port: u16) -> Option<usize> {
    let mut at = ethernet::HEADER_LEN;
    let mut kind = u16_at(frame, at - 2)?;
    while TAGS.contains(&kind) {
        at += 4;
        kind = u16_at(frame, at - 2)?;
    }
    for _ in 0..DEEPEST {
        let (next, number) = match kind {
            TYPE_IPV4 => (at + usize::from(frame.get(at)? & 0x0f) * 4, *frame.get(at + 9)?),
            TYPE_IPV6 => (at + ipv6::HEADER_LEN, *frame.get(at + 6)?),
            _ => return None,
        };
        if number == protocol::TCP {
            return (next + tcp::HEADER_LEN <= frame.len() && is_to(frame, next, port)).then_some(next);
        }
        (at, kind) = inside(frame, next, number, gue_port)?;
    }
    None
}

/// Where the packet in a tunnel begins, and its EtherType. `at`: behind the outer IP header.
fn inside(frame: &[u8], at: usize, number: u8, gue_port: u16) -> Option<(usize, u16)> {
    match number {
        protocol::IPV4 => Some((at, TYPE_IPV4)),
        protocol::IPV6 => Some((at, TYPE_IPV6)),
        protocol::GRE => Some((at + size_of::<gre::GreHeader>(), u16_at(frame, at + 2)?)),
        protocol::UDP if u16_at(frame, at + DESTINATION_PORT)? == gue_port => {
            let at = at + udp::HEADER_LEN;
            match frame.get(at)? >> 4 {
                4 => Some((at, TYPE_IPV4)),
                6 => Some((at, TYPE_IPV6)),
                _ => inside(frame, at + size_of::<gue::GueHeader>(), *frame.get(at + 1)?, gue_port),
            }
        }
        _ => None,
    }
}

/// The length of IP and TCP headers without options.
#[must_use]
pub(super) const fn headers(v6: bool) -> usize {
    tcp::HEADER_LEN + if v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN }
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
