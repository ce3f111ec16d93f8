//! What a worker needs to know of a backend whose packets have their addresses rewritten.

use crate::proxy::Style;
use crate::session::Endpoint;
use crate::syn_proxy::SynProxy;
use std::sync::Arc;
use std::time::Duration;

/// When a connection that is not answered is tried with another backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// For how long the backend may keep silent.
    pub after: Duration,
    /// How many other backends are tried, at most [`crate::session::MOST_RETRIES`].
    pub times: u8,
}

/// How packets to a backend are rewritten, beside the link that they leave by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat {
    /// The backend. Port 0: the port of the VIP.
    pub backend: Endpoint,
    /// The addresses that stand for clients (`fullnat`), of the backend's family, as [`crate::vip::address_bits`]; `None`:
    /// clients keep theirs (`nat`).
    pub sources: Option<Arc<[u128]>>,
    /// The header that backends get before the client's first byte; `None`: none.
    pub proxy: Option<Style>,
    /// Whether only the first datagram of a UDP flow has that header.
    pub first_datagram: bool,
    /// When another backend is tried.
    pub retry: Retry,
    /// When SYNs are answered here.
    pub syn_proxy: SynProxy,
    /// For how long an established TCP connection may be silent.
    pub idle_tcp: Duration,
    /// For how long a UDP flow may be silent.
    pub idle_udp: Duration,
}
