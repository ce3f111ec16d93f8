//! What the real-time thread tells the background thread, and what that asks of it.

use crate::checks::HistoryResult;
use crate::checks::speak::Line;
use crate::health::{CheckNumber, HealthEvent};
use crate::neighbor::Change;
use crate::responder::Conflict;
use crate::rt::{Duties, Report};
use guideway_dataplane::ids::{BackendId, PortId};
use guideway_dataplane::time::Nanos;
use std::net::IpAddr;

/// Something happened that the state must follow.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A backend went up or down.
    Health(HealthEvent),
    /// The agent of a backend said something.
    Advice {
        /// The backend.
        backend: BackendId,
        /// What it said.
        advice: Line,
        /// When.
        at: Nanos,
    },
    /// A next hop has another MAC.
    Neighbor(Change),
    /// Another machine claims one of our addresses.
    Conflict(Conflict),
    /// The way to a backend takes smaller packets than its link.
    PathMtu {
        /// The backend's address.
        backend_address: IpAddr,
        /// The largest outer packet that gets there, in bytes; `None`: no longer known, the link decides again.
        mtu: Option<u16>,
    },
}

/// Unbounded: an event is a change of state, of which there are few, and none may be lost.
pub type EventSender = tokio::sync::mpsc::UnboundedSender<Event>;
/// The background thread's end.
pub type EventReceiver = tokio::sync::mpsc::UnboundedReceiver<Event>;

/// What the background thread asks of the real-time thread.
#[derive(Debug)]
pub enum Request {
    /// Serve these from now on.
    Configure(Box<Duties>),
    /// A port went down or came up, and with it its links.
    Link {
        /// The port.
        port: PortId,
        /// Whether it is up now.
        up: bool,
    },
    /// Tell how things are.
    Report(tokio::sync::oneshot::Sender<Report>),
    /// Tell the last results of a backend that the prober probes.
    History(BackendId, tokio::sync::oneshot::Sender<Option<(CheckNumber, Vec<HistoryResult>)>>),
}
