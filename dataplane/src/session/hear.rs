//! What a session learns of a TCP segment, and which of its flags it believes.
//!
//! Flags alone would let anybody who knows addresses and ports end a connection, or make a SYN of his own count as established.
//! So a handshake is complete once the client acknowledges what the backend sent, and a reset counts whose sequence number is next
//! to what the other side expects (RFC 5961, section 3, asks for the very number; a reset behind data under way is a little ahead).
//! Whatever is not believed is forwarded all the same.

use super::record::{Session, Side};
use crate::wire::tcp::{ACK, FIN, RST, SYN, TcpHeader};

/// How far a number may be ahead of what is expected.
const AHEAD: u32 = 1 << 16;

const fn is_next(number: u32, expected: u32) -> bool {
    number.wrapping_sub(expected) <= AHEAD
}

impl Session {
    /// Takes note of a segment with `payload` bytes that `side` sent, as it came.
    pub(crate) fn hear(&mut self, side: Side, header: &TcpHeader, payload: u32) {
        let (sequence, acknowledged) = (header.sequence.get(), header.acknowledgement.get());
        let flags = header.flags;
        let [by_client, _] = self.expected;
        let is_believed = match side {
            _ if flags & RST != 0 => self.is_reset_believed(side, flags, sequence),
            Side::Client if flags & SYN == 0 && !self.tcp.is_established() => {
                self.tcp.is_answered() && is_next(acknowledged, by_client)
            }
            _ => true,
        };
        if !is_believed {
            return;
        }
        self.tcp = self.tcp.after(side, flags);
        // Before the backend has answered nothing is expected, and the place serves another purpose.
        if !self.tcp.is_answered() {
            return;
        }
        let other = if side == Side::Client { Side::Backend } else { Side::Client };
        if flags & FIN != 0 {
            // All that the other side will ever acknowledge.
            self.expected[other as usize] = sequence.wrapping_add(payload).wrapping_add(1);
        }
        if flags & (RST | ACK) != ACK {
            return;
        }
        if side == Side::Backend && flags & SYN != 0 {
            // What the client is to acknowledge first: the SYN. A copy that comes behind an end says nothing new.
            if !self.tcp.is_closed_by(Side::Client) && !self.tcp.is_closed_by(Side::Backend) {
                self.expected = [sequence.wrapping_add(1), acknowledged];
            }
        } else if !self.tcp.is_closed_by(other) {
            self.expected[side as usize] = acknowledged;
        } else if acknowledged == self.expected[side as usize] {
            self.tcp = self.tcp.end_known(other);
        }
    }

    fn is_reset_believed(&self, side: Side, flags: u8, sequence: u32) -> bool {
        let [by_client, by_backend] = self.expected;
        match side {
            // A refusal: it acknowledges the SYN, and has no number of its own.
            Side::Backend if !self.tcp.is_answered() => flags & ACK != 0,
            Side::Backend => is_next(sequence, by_client),
            // The client gave up before an answer came: there is nothing to end but an attempt.
            Side::Client if !self.tcp.is_answered() => true,
            Side::Client => is_next(sequence, by_backend),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;
    use zerocopy::network_endian::U32;

    const C: u32 = 1_000;
    const S: u32 = u32::MAX - 3;

    fn segment(flags: u8, sequence: u32, acknowledged: u32) -> TcpHeader {
        let mut header = TcpHeader::new_zeroed();
        header.flags = flags;
        (header.sequence, header.acknowledgement) = (U32::new(sequence), U32::new(acknowledged));
        header
    }

    fn after(segments: &[(Side, TcpHeader)]) -> Session {
        let mut session = Session::NOTHING;
        segments.iter().for_each(|(side, header)| session.hear(*side, header, 0));
        session
    }

    fn handshake() -> Vec<(Side, TcpHeader)> {
        vec![
            (Side::Client, segment(SYN, C, 0)),
            (Side::Backend, segment(SYN | ACK, S, C + 1)),
            (Side::Client, segment(ACK, C + 1, S.wrapping_add(1))),
        ]
    }

    #[test]
    fn a_handshake_is_complete_with_the_right_number() {
        assert!(after(&handshake()).tcp.is_established());
        let blind = (Side::Client, segment(ACK, C + 1, 5_000_000));
        assert!(!after(&[&handshake()[..2], &[blind]].concat()).tcp.is_established());
        assert!(!after(&[handshake()[0], blind]).tcp.is_established());
    }

    #[test]
    fn a_reset_needs_the_right_number() {
        let ended =
            |side, sequence| after(&[&handshake()[..], &[(side, segment(RST, sequence, 0))]].concat()).tcp.is_over();
        assert!(ended(Side::Client, C + 1) && ended(Side::Backend, S.wrapping_add(1)));
        assert!(ended(Side::Client, C + 1 + 10_000), "behind data under way");
        assert!(!ended(Side::Client, C) && !ended(Side::Client, 5_000_000) && !ended(Side::Backend, 5_000_000));
    }

    #[test]
    fn a_refusal_ends_the_attempt() {
        let refused = (Side::Backend, segment(RST | ACK, 0, C + 1));
        assert!(after(&[handshake()[0], refused]).tcp.is_over());
        let forged = (Side::Backend, segment(RST, 5, 0));
        assert!(!after(&[handshake()[0], forged]).tcp.is_over());
    }

    #[test]
    fn both_ends_close_and_know_it() {
        let close = [
            (Side::Client, segment(FIN | ACK, C + 1, S.wrapping_add(1))),
            (Side::Backend, segment(FIN | ACK, S.wrapping_add(1), C + 2)),
            (Side::Client, segment(ACK, C + 2, S.wrapping_add(2))),
        ];
        let over = |count: usize| after(&[&handshake()[..], &close[..count]].concat()).tcp.is_over();
        assert_eq!([over(1), over(2), over(3)], [false, false, true]);
    }

    /// A copy of the backend's SYN that comes behind everything else.
    #[test]
    fn a_late_copy_of_a_syn_says_nothing_new() {
        let close = [
            (Side::Client, segment(FIN | ACK, C + 1, S.wrapping_add(1))),
            handshake()[1],
            (Side::Backend, segment(FIN | ACK, S.wrapping_add(1), C + 2)),
            (Side::Client, segment(ACK, C + 2, S.wrapping_add(2))),
        ];
        assert!(after(&[&handshake()[..], &close].concat()).tcp.is_over());
    }

    /// Both close at once, and one of the ends is lost behind us: it comes again.
    #[test]
    fn an_end_that_nobody_acknowledged_may_come_again() {
        let close = [
            (Side::Client, segment(FIN | ACK, C + 1, S.wrapping_add(1))),
            (Side::Backend, segment(FIN | ACK, S.wrapping_add(1), C + 1)),
            (Side::Client, segment(ACK, C + 2, S.wrapping_add(2))),
            (Side::Backend, segment(ACK, S.wrapping_add(2), C + 1)),
            (Side::Client, segment(FIN | ACK, C + 1, S.wrapping_add(2))),
            (Side::Backend, segment(ACK, S.wrapping_add(2), C + 2)),
        ];
        let over = |count: usize| after(&[&handshake()[..], &close[..count]].concat()).tcp.is_over();
        assert_eq!([3, 4, 5, 6].map(over), [false, false, false, true]);
    }

    #[test]
    fn data_before_an_end_counts() {
        let mut session = after(&handshake());
        session.hear(Side::Client, &segment(FIN | ACK, C + 1, S.wrapping_add(1)), 100);
        assert_eq!(session.expected[1], C + 102);
    }
}
