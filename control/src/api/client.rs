//! The other end of the control socket: what the command line uses.

use super::{
    Addition, CAPTURE_PATH, CHANGES_PATH, Changed, DRAIN_PATH, POOLS_PATH, RELOAD_PATH, Refused, Reloaded, STATUS_PATH,
};
use crate::audit::Change;
use crate::capture::CaptureAsk;
use crate::drain::{self, DrainStatus};
use crate::metrics::{Backends, Form, METRICS_PATH};
use crate::reload::run::Ask;
use crate::status::model::{CheckHistory, PoolStatus, Status};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Why the running process did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("{path}: cannot reach a running guideway: {source}; is it running, and is this its `[api] socket`?")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The conversation broke off.
    #[error("the running guideway broke off: {0}")]
    Http(#[from] hyper::Error),
    /// It refused.
    #[error("the running guideway refused: {message}")]
    Refused {
        /// How HTTP names it.
        status: u16,
        /// Why, and what to do.
        message: String,
    },
    /// It is of another version.
    #[error("the running guideway answers in a form that this version does not know: {0}")]
    Form(#[from] serde_json::Error),
    /// It is of another version.
    #[error("the running guideway does not know this request ({0}): it is of another version; start it anew")]
    Unknown(String),
    /// No runtime.
    #[error("cannot start the client: {0}")]
    Runtime(std::io::Error),
}

impl ClientError {
    /// Whether what was asked for cannot be: a name that is not there, a value that is none.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 404 | 422, .. })
    }
}

/// How often somebody who waits for more of a stream is asked whether it is enough.
const LOOK: Duration = Duration::from_millis(50);

/// The media types that any answer may have (RFC 9110 section 12.5.1).
const ANYTHING: &str = "*/*";

/// An answer whose body is not read yet, and the task that reads it.
type Answer = (hyper::Response<Incoming>, JoinHandle<Result<(), hyper::Error>>);

/// A process behind a socket. Every request is a connection of its own.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

impl Client {
    /// A client of the process behind `socket`. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Runtime`].
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { socket: socket.to_owned(), runtime: runtime.map_err(ClientError::Runtime)? })
    }

    /// How the process is doing.
    ///
    /// # Errors
    ///
    /// [`ClientError`], here and in all that follow; its text says what to do.
    pub fn status(&self) -> Result<Status, ClientError> {
        self.ask(Method::GET, STATUS_PATH, None)
    }

    /// How a pool is doing.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn pool(&self, pool: &str) -> Result<PoolStatus, ClientError> {
        self.ask(Method::GET, &pool_path(pool), None)
    }

    /// The last results of a backend's checks.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn history(&self, pool: &str, backend: &str) -> Result<Vec<CheckHistory>, ClientError> {
        self.ask(Method::GET, &format!("{}/history", backend_path(pool, backend)), None)
    }

    /// No new flows for a backend; with `force` no old ones either.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn drain(&self, pool: &str, backend: &str, force: bool) -> Result<Changed, ClientError> {
        self.change(pool, backend, "drain", Some(&json!({ "force": force })))
    }

    /// Back from a drain.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn enable(&self, pool: &str, backend: &str) -> Result<Changed, ClientError> {
        self.change(pool, backend, "enable", None)
    }

    /// A drain, and no checks.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn disable(&self, pool: &str, backend: &str) -> Result<Changed, ClientError> {
        self.change(pool, backend, "disable", None)
    }

    /// Another share for a backend.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn weight(&self, pool: &str, backend: &str, weight: u32) -> Result<Changed, ClientError> {
        self.change(pool, backend, "weight", Some(&json!({ "weight": weight })))
    }

    /// Adds a backend.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn add(&self, pool: &str, backend: &Addition) -> Result<Changed, ClientError> {
        let body = serde_json::to_value(backend)?;
        self.ask(Method::POST, &format!("{}/backends", pool_path(pool)), Some(&body))
    }

    /// A drain, after which a backend is gone; with `force` without the drain.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn remove(&self, pool: &str, backend: &str, force: bool) -> Result<Changed, ClientError> {
        let query = if force { "?force=true" } else { "" };
        self.ask(Method::DELETE, &format!("{}{query}", backend_path(pool, backend)), None)
    }

    /// Applies the file as a difference.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn reload(&self, ask: &Ask) -> Result<Reloaded, ClientError> {
        self.ask(Method::POST, RELOAD_PATH, Some(&serde_json::to_value(ask)?))
    }

    /// Drains the machine, then stops the process.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn drain_node(&self, ask: &drain::Ask) -> Result<DrainStatus, ClientError> {
        self.ask(Method::POST, DRAIN_PATH, Some(&serde_json::to_value(ask)?))
    }

    /// Undoes that.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn cancel_drain(&self) -> Result<DrainStatus, ClientError> {
        self.ask(Method::DELETE, DRAIN_PATH, None)
    }

    /// The latest changes, the oldest first.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn changes(&self) -> Result<Vec<Change>, ClientError> {
        self.ask(Method::GET, CHANGES_PATH, None)
    }

    /// The metrics, as Prometheus scrapes them.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn metrics(&self, backends: Backends, form: Form) -> Result<Bytes, ClientError> {
        let query = match backends {
            Backends::All => "",
            Backends::None => "?backends=none",
        };
        let path = format!("{METRICS_PATH}{query}");
        self.runtime.block_on(self.send(Method::GET, &path, Bytes::new(), form.content_type()))
    }

    /// Packets as a pcapng file: gives `take` each piece of it as it comes, until the file ends or `take` says that it is
    /// enough. `take` is also asked with nothing every now and then.
    ///
    /// # Errors
    ///
    /// As for [`Client::status`].
    pub fn capture(&self, ask: &CaptureAsk, mut take: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), ClientError> {
        let body = Bytes::from(serde_json::to_vec(ask)?);
        self.runtime.block_on(async {
            let (response, connection) = self.request(Method::POST, CAPTURE_PATH, body, ANYTHING).await?;
            let status = response.status();
            let mut body = response.into_body();
            if !status.is_success() {
                return Err(refused(status, &body.collect().await?.to_bytes()));
            }
            loop {
                let piece = match tokio::time::timeout(LOOK, body.frame()).await {
                    Err(_) => Bytes::new(),
                    Ok(None) => break,
                    Ok(Some(frame)) => frame?.into_data().unwrap_or_default(),
                };
                if take(&piece).is_break() {
                    break;
                }
            }
            connection.abort();
            Ok(())
        })
    }

    fn change(
        &self,
        pool: &str,
        backend: &str,
        change: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Changed, ClientError> {
        self.ask(Method::POST, &format!("{}/{change}", backend_path(pool, backend)), body)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, ClientError> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let answer = self.runtime.block_on(self.send(method, path, body, ANYTHING))?;
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn send(&self, method: Method, path: &str, body: Bytes, accept: &str) -> Result<Bytes, ClientError> {
        let (response, connection) = self.request(method, path, body, accept).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        connection.abort();
        if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
    }

    /// The answer, and the task that reads it.
    async fn request(&self, method: Method, path: &str, body: Bytes, accept: &str) -> Result<Answer, ClientError> {
        let connect = |source| ClientError::Connect { path: self.socket.clone(), source };
        let stream = UnixStream::connect(&self.socket).await.map_err(connect)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "guideway")
            .header(hyper::header::ACCEPT, accept)
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::Unknown(error.to_string()))?;
        Ok((sender.send_request(request).await?, connection))
    }
}

/// A refusal by the API has a body, one by the router has none.
fn refused(status: StatusCode, body: &[u8]) -> ClientError {
    if body.is_empty() {
        return ClientError::Unknown(status.to_string());
    }
    let text = || String::from_utf8_lossy(body).into_owned();
    let message = serde_json::from_slice(body).map_or_else(|_| text(), |Refused { error, .. }| error);
    ClientError::Refused { status: status.as_u16(), message }
}

fn pool_path(pool: &str) -> String {
    format!("{POOLS_PATH}/{}", encoded(pool))
}

fn backend_path(pool: &str, backend: &str) -> String {
    format!("{}/backends/{}", pool_path(pool), encoded(backend))
}

/// One segment of a path: all but unreserved characters in percent-encoding (RFC 3986 section 2.3).
fn encoded(segment: &str) -> String {
    segment.bytes().fold(String::with_capacity(segment.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn segments_are_encoded() {
        assert_eq!(encoded("web-1_a.b~"), "web-1_a.b~");
        assert_eq!(encoded("fd00::1"), "fd00%3A%3A1");
        assert_eq!(encoded("a/b %ä?#"), "a%2Fb%20%25%C3%A4%3F%23");
    }
}
