//! The PROXY protocol, put into a TCP connection that is not terminated here.

/// What a session keeps for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// The client's initial sequence number.
    pub first: u32,
    /// Where the header lies among those that are not acknowledged yet, plus one; 0: nowhere.
    pub pending: u32,
    /// Length of the header in bytes; 0: the session has none.
    pub len: u16,
    /// How far it is.
    pub phase: Phase,
}

/// How far the header is. It only goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// The backend has not acknowledged the whole header.
    Pending,
    /// It has, and sequence numbers below the client's first are still looked for.
    Clamp,
    /// No sequence number is looked at.
    #[default]
    Clear,
}

impl Proxy {
    /// No header.
    pub const NONE: Self = Self { first: 0, pending: 0, len: 0, phase: Phase::Clear };
}
