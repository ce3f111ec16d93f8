//! How far a TCP connection is, as a middlebox sees it: loosely, by flags alone.
//!
//! Nothing is ever dropped for it. It says how long a session may be silent, and whether a SYN begins another connection.

use super::Side;
use crate::wire::tcp::{ACK, FIN, RST, SYN};
use std::time::Duration;

/// A connection that is not established, since the backend last answered: it does so after 1, 3, 7, 15 and 31 s as Linux is set, may be
/// set to once more after 63 s, and its timers may be an eighth late. A client that knows of an answer, and whose acknowledgements are lost, may
/// have nothing to send: it hangs for good if the backend's next answer finds nobody here.
pub const EMBRYONIC: Duration = Duration::from_secs(40);
/// One side has closed its half, or both have and not both know. RFC 5382, section 5, REQ-5 asks for four minutes.
const HALF_CLOSED: Duration = Duration::from_secs(240);
/// Both sides have closed and know it of each other, or one was reset: for what is sent again.
const OVER: Duration = Duration::from_secs(20);

/// What was seen of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpState(u8);

const ANSWERED: u8 = 1;
const ESTABLISHED: u8 = 1 << 1;
const CLIENT_CLOSED: u8 = 1 << 2;
const BACKEND_CLOSED: u8 = 1 << 3;
const RESET: u8 = 1 << 4;
const SPLICED: u8 = 1 << 5;
const CLIENT_KNOWN: u8 = 1 << 6;
const BACKEND_KNOWN: u8 = 1 << 7;

impl TcpState {
    /// A SYN was seen.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// The client's SYN was answered by the SYN proxy.
    #[must_use]
    pub const fn spliced() -> Self {
        Self(SPLICED)
    }

    /// Whether the SYN proxy answered its SYN.
    #[must_use]
    pub const fn is_spliced(self) -> bool {
        self.0 & SPLICED != 0
    }

    /// What stands for a flow without connections of which a packet was seen.
    #[must_use]
    pub const fn seen() -> Self {
        Self(ANSWERED)
    }

    /// What it is after a segment of `side` with these flags.
    #[must_use]
    pub const fn after(self, side: Side, flags: u8) -> Self {
        let mut state = self.0;
        if flags & RST != 0 {
            // A forged one is answered by neither side, and the next segment says so.
            return Self(state | RESET);
        }
        state &= !RESET;
        match side {
            Side::Backend if flags & (SYN | ACK) == SYN | ACK => state |= ANSWERED,
            Side::Client if flags & (SYN | ACK) == ACK && state & ANSWERED != 0 => state |= ESTABLISHED,
            _ => {}
        }
        if flags & FIN != 0 {
            state |= match side {
                Side::Client => CLIENT_CLOSED,
                Side::Backend => BACKEND_CLOSED,
            };
        }
        Self(state)
    }

    /// What it is once the other side has acknowledged the end of what `side` sends.
    #[must_use]
    pub const fn end_known(self, side: Side) -> Self {
        Self(
            self.0
                | match side {
                    Side::Client => CLIENT_KNOWN,
                    Side::Backend => BACKEND_KNOWN,
                },
        )
    }

    /// Whether `side` has closed its half.
    #[must_use]
    pub const fn is_closed_by(self, side: Side) -> bool {
        let closed = match side {
            Side::Client => CLIENT_CLOSED,
            Side::Backend => BACKEND_CLOSED,
        };
        self.0 & closed != 0
    }

    /// Whether the backend answered the SYN.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        self.0 & ANSWERED != 0
    }

    /// Whether the handshake is complete.
    #[must_use]
    pub const fn is_established(self) -> bool {
        self.0 & ESTABLISHED != 0
    }

    /// Whether it is over, so that a SYN of the same addresses and ports begins another one. An end that is not acknowledged may have
    /// been lost, and is sent again, after a longer and longer time.
    #[must_use]
    pub const fn is_over(self) -> bool {
        self.0 & RESET != 0 || self.0 & (CLIENT_KNOWN | BACKEND_KNOWN) == CLIENT_KNOWN | BACKEND_KNOWN
    }

    /// Whether it was reset and nothing came since.
    #[must_use]
    pub const fn is_reset(self) -> bool {
        self.0 & RESET != 0
    }

    /// For how long it may be silent; `idle` while it is established.
    #[must_use]
    pub const fn timeout(self, idle: Duration) -> Duration {
        if self.is_over() {
            OVER
        } else if self.0 & (CLIENT_CLOSED | BACKEND_CLOSED) != 0 {
            HALF_CLOSED
        } else if self.is_established() {
            idle
        } else {
            EMBRYONIC
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state after these segments.
    fn after(segments: &[(Side, u8)]) -> TcpState {
        segments.iter().fold(TcpState::new(), |state, (side, flags)| state.after(*side, *flags))
    }

    const HANDSHAKE: [(Side, u8); 3] = [(Side::Client, SYN), (Side::Backend, SYN | ACK), (Side::Client, ACK)];
    const IDLE: Duration = Duration::from_secs(900);

    #[test]
    fn a_handshake_needs_both_sides() {
        assert_eq!(after(&HANDSHAKE[..1]).timeout(IDLE), EMBRYONIC);
        assert!(after(&HANDSHAKE[..2]).is_answered() && !after(&HANDSHAKE[..2]).is_established());
        assert_eq!(after(&HANDSHAKE).timeout(IDLE), IDLE);
        assert!(!after(&[(Side::Client, SYN), (Side::Client, ACK)]).is_established(), "nobody answered");
    }

    #[test]
    fn both_halves_close() {
        let half = after(&[&HANDSHAKE[..], &[(Side::Client, FIN | ACK), (Side::Backend, ACK)]].concat());
        assert_eq!((half.timeout(IDLE), half.is_over()), (HALF_CLOSED, false));
        let unknown = half.after(Side::Backend, FIN | ACK).end_known(Side::Client);
        assert_eq!((unknown.timeout(IDLE), unknown.is_over()), (HALF_CLOSED, false), "one end may be lost");
        let whole = unknown.after(Side::Client, ACK).end_known(Side::Backend);
        assert_eq!((whole.timeout(IDLE), whole.is_over()), (OVER, true));
    }

    #[test]
    fn a_reset_that_nobody_believes_changes_nothing() {
        let reset = after(&HANDSHAKE).after(Side::Client, RST);
        assert_eq!((reset.timeout(IDLE), reset.is_over()), (OVER, true));
        assert_eq!(reset.after(Side::Backend, ACK).timeout(IDLE), IDLE);
    }
}
