//! What the prober tells its caller: packets to send, judgements, events, status, counters.

use super::verdicts::CheckNumber;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use std::fmt;
use std::time::Duration;

/// A packet that is to go to one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe<'a> {
    /// The backend whose rewrite the packet takes.
    pub backend: BackendId,
    /// A whole layer-3 packet: IPv4 or IPv6, then TCP (a SYN, or the RST that ends a probe), with valid checksums.
    /// It lies in a buffer that is used again after the call.
    pub packet: &'a [u8],
}

/// Why a backend has the state that it has, or why a probe counted as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No answer within the timeout.
    Timeout,
    /// A reset with the right acknowledgement number: nobody listens.
    Refused,
    /// An ICMP or ICMPv6 "destination unreachable" that quotes the probe.
    Unreachable,
    /// A SYN-ACK with the right acknowledgement number; of other checks: the answer that is good.
    Answered,
    /// The connection ended before the answer was whole.
    Closed,
    /// Something that is no answer of the protocol asked for.
    Garbled,
    /// An HTTP response with this status code, which is not a good one.
    Status(u16),
    /// An answer without the bytes that were expected.
    Mismatch,
    /// The TLS handshake failed, or the certificate is not valid.
    Tls,
    /// A DNS response with this code, which is not the good one (RFC 1035, section 4.1.1).
    Rcode(u8),
    /// A gRPC call that ended with this code, which is not 0.
    Grpc(u32),
    /// A health service that does not say `SERVING`.
    NotServing,
    /// An agent that says so.
    Agent,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Timeout => "no answer within the timeout",
            Self::Refused => "connection refused",
            Self::Unreachable => "destination unreachable",
            Self::Answered => "answered",
            Self::Closed => "connection closed early",
            Self::Garbled => "not an answer of this protocol",
            Self::Status(code) => return write!(f, "HTTP status {code}"),
            Self::Mismatch => "not the expected answer",
            Self::Tls => "TLS failed",
            Self::Rcode(code) => return write!(f, "DNS response code {code}"),
            Self::Grpc(code) => return write!(f, "gRPC status {code}"),
            Self::NotServing => "not serving",
            Self::Agent => "its agent says so",
        };
        f.pad(text)
    }
}

/// A change that the rest of the process acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transition {
    /// The backend may serve: `rise` probes in a row were answered and no hold-down is left.
    Up,
    /// The backend failed `fall` probes in a row.
    Down,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// A backend went up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthEvent {
    /// The backend.
    pub backend: BackendId,
    /// Which check says so; `None`: all of its pool, at once.
    pub check: Option<CheckNumber>,
    /// When the deciding result was judged: the receive time of an answer, the time of the poll for a timeout.
    pub at: Nanos,
    /// What it became.
    pub transition: Transition,
    /// The deciding result.
    pub reason: Reason,
}

/// The state of a backend as `status` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No verdict yet: counts as up until `fall` failures in a row (CONSISTENCY, "Down, keep, groups").
    Unknown,
    /// Up.
    Up,
    /// Down.
    Down,
    /// Down although `rise` probes were answered: the recovery is held down after flaps.
    HeldDown,
}

impl State {
    /// Whether the backend counts as up.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Unknown | Self::Up)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
            Self::HeldDown => "held down",
        })
    }
}

/// All that is known about one backend's health. The counts are modulo 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// Since when it is up, down or unknown ([`State::HeldDown`] counts as down here).
    pub since: Nanos,
    /// The result that brought the state about; `None` while unknown.
    pub reason: Option<Reason>,
    /// Round-trip time of the last answer, to about a microsecond.
    pub rtt: Option<Duration>,
    /// The last round trip took more than half of the timeout: the timeout is too short, or the backend too slow.
    pub slow: bool,
    /// Probes sent. `sent == answered + failed + void + outstanding`.
    pub sent: u32,
    /// Probes answered in time.
    pub answered: u32,
    /// Probes that timed out, were refused or were unreachable.
    pub failed: u32,
    /// Probes that were forgotten without a judgement, since this process was late itself.
    pub void: u32,
    /// Probes on their way.
    pub outstanding: u32,
}

/// Why a received packet had no effect on the health of any backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// Too short, a wrong length or version field: no whole IP header with its TCP or ICMP header.
    Malformed,
    /// A fragment, another protocol, TCP flags or an ICMP message that no probe provokes.
    NotAnAnswer,
    /// The port names no backend that is probed, or the addresses are not those of its probes.
    NotOurs,
    /// The number acknowledged or quoted is no cookie of this backend.
    WrongCookie,
    /// A cookie of a round that was judged already or is forgotten. A SYN-ACK or ACK of this kind is reset.
    Stale,
    /// A right answer that was received after the timeout; the poll judges the probe as timed out.
    Late,
}

/// What became of a received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A probe was answered in time.
    Answered {
        /// The backend.
        backend: BackendId,
        /// From send to the worker's receive time.
        rtt: Duration,
    },
    /// A probe was refused or unreachable.
    Failed {
        /// The backend.
        backend: BackendId,
        /// [`Reason::Refused`] or [`Reason::Unreachable`].
        reason: Reason,
    },
    /// No effect; counted.
    Ignored(Ignored),
}

/// Totals over all backends and all time, removed backends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// SYNs sent.
    pub sent: u64,
    /// Of these, the ones that were sent out of turn, since something spoke against the backend.
    pub out_of_turn: u64,
    /// RSTs sent.
    pub resets: u64,
    /// Probes answered in time.
    pub answered: u64,
    /// Probes that timed out.
    pub timeouts: u64,
    /// Probes refused.
    pub refused: u64,
    /// Probes answered by "destination unreachable".
    pub unreachable: u64,
    /// Probes forgotten without a judgement.
    pub void: u64,
    /// Rounds that were not sent, since this process was too late for them.
    pub skipped: u64,
    /// Packets ignored as [`Ignored::Malformed`].
    pub malformed: u64,
    /// Packets ignored as [`Ignored::NotAnAnswer`].
    pub not_an_answer: u64,
    /// Packets ignored as [`Ignored::NotOurs`].
    pub not_ours: u64,
    /// Packets ignored as [`Ignored::WrongCookie`].
    pub wrong_cookie: u64,
    /// Packets ignored as [`Ignored::Stale`].
    pub stale: u64,
    /// Packets ignored as [`Ignored::Late`].
    pub late: u64,
}

impl Counters {
    pub(super) fn count_ignored(&mut self, why: Ignored) {
        *match why {
            Ignored::Malformed => &mut self.malformed,
            Ignored::NotAnAnswer => &mut self.not_an_answer,
            Ignored::NotOurs => &mut self.not_ours,
            Ignored::WrongCookie => &mut self.wrong_cookie,
            Ignored::Stale => &mut self.stale,
            Ignored::Late => &mut self.late,
        } += 1;
    }

    pub(super) fn count_failed(&mut self, reason: Reason) {
        match reason {
            Reason::Timeout => self.timeouts += 1,
            Reason::Refused => self.refused += 1,
            Reason::Unreachable => self.unreachable += 1,
            Reason::Answered => self.answered += 1,
            // Of other checks than this prober's.
            _ => {}
        }
    }
}
