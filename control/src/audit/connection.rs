//! What is said of a connection.

use super::stamp::stamp;
use crate::replay::labels;
use crate::state::State;
use guideway_dataplane::observe::{Event, Start};
use guideway_dataplane::wire::protocol;
use serde::{Serialize, Serializer};
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

/// A connection that begins, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// When (RFC 3339, UTC, microseconds).
    #[serde(serialize_with = "as_stamp")]
    pub time: SystemTime,
    /// `syn`, `initial` (QUIC), `datagram` (one of so many).
    pub event: &'static str,
    /// `tcp` or `udp`.
    #[serde(serialize_with = "as_protocol")]
    pub protocol: u8,
    /// The client.
    pub client: SocketAddr,
    /// Where it wants to.
    pub destination: SocketAddr,
    /// The VIP that took it.
    pub vip: String,
    /// The pool behind it.
    pub pool: String,
    /// The backend that it goes to.
    pub backend: String,
    /// The backend's address; `None` if it is gone by now.
    pub backend_address: Option<IpAddr>,
    /// Its slot in the pool's table.
    pub slot: u32,
    /// What decided: `slot`, `name`, and in a special slot `current`, `base` or `pin`.
    pub by: &'static str,
    /// The phase of a special slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<&'static str>,
    /// The snapshot that the worker used.
    pub generation: u64,
    /// The worker.
    pub worker: u16,
}

// serde hands references.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn as_stamp<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&stamp(*time))
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn as_protocol<S: Serializer>(number: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *number == protocol::TCP { "tcp" } else { "udp" })
}

impl Connection {
    /// What a worker told, in the words of the configuration. Names are those that things have now.
    pub(super) fn new(state: &State, start: &Start, time: SystemTime) -> Self {
        let config = &state.config;
        let gone = || "?".to_owned();
        let vip = state.vip(start.vip);
        let found = state.find(start.backend).and_then(|(pool, index)| {
            let pool = config.pools.get(pool.index())?;
            Some((pool, pool.backends.get(index)?))
        });
        let pool = found.map(|(pool, _)| pool).or_else(|| config.pools.get(vip?.pool));
        let (by, phase) = labels(start.by);
        Self {
            time,
            event: match start.event {
                Event::Syn => "syn",
                Event::Initial => "initial",
                Event::Datagram => "datagram",
            },
            protocol: start.flow.protocol(),
            client: SocketAddr::new(start.flow.source(), start.flow.source_port()),
            destination: SocketAddr::new(start.flow.destination(), start.flow.destination_port()),
            vip: vip.map_or_else(gone, ToString::to_string),
            pool: pool.map_or_else(gone, |pool| pool.name.clone()),
            backend: found.map_or_else(|| format!("#{}", start.backend.0), |(_, backend)| backend.name.clone()),
            backend_address: found.map(|(_, backend)| backend.address),
            slot: start.slot,
            by: by.unwrap_or("slot"),
            phase,
            generation: start.generation,
            worker: start.worker.0,
        }
    }
}
