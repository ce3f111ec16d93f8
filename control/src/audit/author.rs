//! Who changes something: known from the task that does it.

use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tokio::net::{TcpListener, UnixListener};
use utoipa::ToSchema;

/// Who changes something.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Author {
    /// A request over the control socket.
    Api {
        /// The user behind it, by the kernel's word (SO_PEERCRED).
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// The process, by the same.
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
    },
    /// A request over TCP.
    Tcp {
        /// The other end of the connection.
        #[schema(value_type = String, example = "192.0.2.7:40000")]
        address: SocketAddr,
        /// Whether it showed the token; there is one for all, and an address that wants none asks for none.
        token: bool,
    },
    /// SIGHUP.
    Signal,
    /// A health check.
    Health,
    /// What this process sees by itself, such as a link that goes down.
    #[default]
    Process,
}

tokio::task_local! {
    static AUTHOR: Author;
}

/// Runs something in the name of an author.
pub async fn scope<T>(author: Author, task: impl Future<Output = T>) -> T {
    AUTHOR.scope(author, task).await
}

/// The same for what does not wait.
pub fn sync_scope<T>(author: Author, task: impl FnOnce() -> T) -> T {
    AUTHOR.sync_scope(author, task)
}

/// In whose name this runs.
pub(super) fn current() -> Author {
    AUTHOR.try_with(Clone::clone).unwrap_or_default()
}

/// The other end of a connection to the API.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// Of the control socket: a process, by the kernel's word.
    Process {
        /// Its user.
        uid: Option<u32>,
        /// Its number.
        pid: Option<i32>,
    },
    /// Over TCP.
    Remote(SocketAddr),
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self::Process { uid: credentials.map(|found| found.uid()), pid: credentials.and_then(|found| found.pid()) }
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self::Remote(*stream.remote_addr())
    }
}

/// In a request that showed the token.
#[derive(Clone, Copy, Debug)]
pub struct ShownToken;

/// Serves a request in the name of whoever sent it.
pub async fn of_request(request: Request, next: Next) -> Response {
    let author = match request.extensions().get::<ConnectInfo<Peer>>() {
        Some(&ConnectInfo(Peer::Remote(address))) => {
            Author::Tcp { address, token: request.extensions().get::<ShownToken>().is_some() }
        }
        Some(&ConnectInfo(Peer::Process { uid, pid })) => Author::Api { uid, pid },
        None => Author::Api { uid: None, pid: None },
    };
    scope(author, next.run(request)).await
}
