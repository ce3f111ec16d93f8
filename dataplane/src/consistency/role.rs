//! What a packet is to the rules of starts and pins.

use super::rule::{Rule, Rules};
use crate::parse::{Kind, Parsed};
use crate::quic;
use crate::vip::Steering;
use crate::wire::{protocol, tcp, udp};

/// What a packet is to the rules of starts and pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A SYN without ACK: starts a flow.
    Syn {
        /// Its sequence number.
        sequence: u32,
    },
    /// A QUIC Initial, or a long header of an unknown version: starts a flow unless that has a pin.
    Initial,
    /// Another TCP segment.
    Segment {
        /// Its sequence number.
        sequence: u32,
        /// Whether it is the client's last but for acknowledgements: FIN.
        closes: bool,
    },
    /// A datagram, or with affinity anything: has no start.
    Datagram,
    /// What never creates a pin and follows one: RST, an ICMP error, a later fragment.
    Follower {
        /// Whether it ends the flow: RST.
        closes: bool,
        /// Its sequence number, if it is a TCP segment with one.
        sequence: Option<u32>,
    },
}

impl Role {
    /// The role of a packet, parsed from `frame`.
    #[must_use]
    pub fn of(parsed: &Parsed, frame: &[u8], steering: Steering, rules: Rules) -> Self {
        // The first fragment of a datagram has its whole transport header: a flow that sends nothing but fragments would
        // never be pinned if it did not count as the packet that it begins.
        if !matches!(parsed.kind, Kind::Whole | Kind::FirstFragment) {
            return Self::Follower { closes: false, sequence: None };
        }
        if (steering, parsed.protocol) == (Steering::Quic, protocol::UDP) && is_initial(parsed, frame, rules) {
            return Self::Initial;
        }
        let transport = frame.get(usize::from(parsed.transport_offset)..).unwrap_or(&[]);
        Self::of_whole(parsed.protocol, parsed.flags, transport, steering, rules)
    }

    /// The role of a whole packet that is no QUIC Initial, by its transport header and the TCP flags in it.
    #[inline]
    pub(crate) fn of_whole(number: u8, flags: u8, transport: &[u8], steering: Steering, rules: Rules) -> Self {
        match (steering, number) {
            (Steering::Client, protocol::TCP) if flags & tcp::RST != 0 => {
                Self::Follower { closes: false, sequence: None }
            }
            // The client's next connection belongs where the others are.
            (Steering::Client, _) if rules.hold(Rule::AffinityHasNoStart) => Self::Datagram,
            (_, protocol::TCP) => Self::of_segment(flags, sequence(transport)),
            _ => Self::Datagram,
        }
    }

    const fn of_segment(flags: u8, sequence: u32) -> Self {
        if flags & tcp::RST != 0 {
            Self::Follower { closes: true, sequence: Some(sequence) }
        } else if flags & (tcp::SYN | tcp::ACK) == tcp::SYN {
            Self::Syn { sequence }
        } else {
            Self::Segment { sequence, closes: flags & tcp::FIN != 0 }
        }
    }

    /// Whether the client ends the flow with it.
    #[must_use]
    pub const fn ends(self) -> bool {
        matches!(self, Self::Segment { closes: true, .. } | Self::Follower { closes: true, .. })
    }

    /// Whether it starts a flow, as long as that has no usable pin.
    #[must_use]
    pub const fn is_start(self) -> bool {
        matches!(self, Self::Syn { .. } | Self::Initial)
    }
}

/// The sequence number of a TCP segment, whose header parsing found whole.
fn sequence(segment: &[u8]) -> u32 {
    segment.get(4..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn is_initial(parsed: &Parsed, frame: &[u8], rules: Rules) -> bool {
    let end = usize::from(parsed.ip_offset) + usize::from(parsed.ip_len);
    let packet = frame.get(..end).unwrap_or(frame);
    let datagram = packet.get(usize::from(parsed.transport_offset) + udp::HEADER_LEN..);
    let header = datagram.and_then(quic::parse);
    header.is_some_and(|header| header.is_start() || header.is_long() && !rules.hold(Rule::InitialStarts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_make_the_role() {
        let of = |flags| Role::of_segment(flags, 7);
        assert_eq!(of(tcp::SYN), Role::Syn { sequence: 7 });
        assert_eq!(of(tcp::SYN | tcp::ACK), Role::Segment { sequence: 7, closes: false });
        assert_eq!(of(tcp::ACK), Role::Segment { sequence: 7, closes: false });
        assert_eq!(of(tcp::ACK | tcp::FIN), Role::Segment { sequence: 7, closes: true });
        assert_eq!(of(tcp::ACK | tcp::RST), Role::Follower { closes: true, sequence: Some(7) });
        assert_eq!(sequence(&[0, 1, 0, 2, 1, 2, 3, 4, 9]), 0x0102_0304);
        assert_eq!(sequence(&[0, 1, 0, 2, 1, 2, 3]), 0);
    }
}
