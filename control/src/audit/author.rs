//! Who changes something: known from the task that does it.

use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UnixListener;
use utoipa::ToSchema;

/// Who changes something.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Author {
    /// A request.
    Api {
        /// The user behind it, by the kernel's word (SO_PEERCRED).
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// The process, by the same.
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
        /// Where a request over TCP came from: address and port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        peer: Option<SocketAddr>,
        /// The token that it showed: the name of the token's file, never the token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
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

/// The process at the other end of a connection to the control socket.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    uid: Option<u32>,
    pid: Option<i32>,
}

/// How the token is called that a request over TCP showed; an extension of the request.
#[derive(Clone, Debug)]
pub(crate) struct TokenName(pub(crate) Arc<str>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self { uid: credentials.map(|found| found.uid()), pid: credentials.and_then(|found| found.pid()) }
    }
}

/// Serves a request in the name of whoever sent it.
pub async fn of_request(request: Request, next: Next) -> Response {
    let known = request.extensions();
    let local = known.get::<ConnectInfo<Peer>>().map(|peer| peer.0);
    let author = Author::Api {
        uid: local.and_then(|peer| peer.uid),
        pid: local.and_then(|peer| peer.pid),
        peer: known.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0),
        token: known.get::<TokenName>().map(|name| name.0.to_string()),
    };
    scope(author, next.run(request)).await
}
