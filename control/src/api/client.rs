//! The other end of the control socket: what `guideway status` uses.

use super::STATUS_PATH;
use crate::status::model::Status;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

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
    #[error("the running guideway refused: {0}")]
    Refused(String),
    /// It is of another version.
    #[error("the running guideway answers in a form that this version does not know: {0}")]
    Form(#[from] serde_json::Error),
    /// No runtime.
    #[error("cannot start the client: {0}")]
    Runtime(std::io::Error),
}

/// Asks the process behind `socket` for its status.
///
/// # Errors
///
/// [`ClientError`]; its text says what to do.
pub fn status(socket: &Path) -> Result<Status, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ClientError::Runtime)?;
    let body = runtime.block_on(get(socket, STATUS_PATH))?;
    Ok(serde_json::from_slice(&body)?)
}

async fn get(socket: &Path, path: &str) -> Result<Bytes, ClientError> {
    let connect = |source| ClientError::Connect { path: socket.to_owned(), source };
    let stream = UnixStream::connect(socket).await.map_err(connect)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(path).header(hyper::header::HOST, "guideway").body(Empty::<Bytes>::new());
    let request = request.map_err(|error| ClientError::Refused(error.to_string()))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    if status.is_success() { Ok(body) } else { Err(ClientError::Refused(String::from_utf8_lossy(&body).into_owned())) }
}
