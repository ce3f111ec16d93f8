//! A request in HTTP/1.1 (RFC 9112), and whether its response is good.

use super::{Fault, Said, Stream, authority};
use crate::checks::Subject;
use crate::health::Reason;
use guideway_config::model::Http;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;

/// Bytes of a body that are looked at.
const LONGEST_BODY: usize = 64 << 10;
const AGENT: &str = concat!("guideway/", env!("CARGO_PKG_VERSION"));

/// Asks over a connection; `secure`: it is one of TLS.
pub(super) async fn ask(stream: Stream, subject: &Subject, http: &Http, secure: bool) -> Result<Said, Fault> {
    let usual = if secure { 443 } else { 80 };
    let host = http.host.clone().unwrap_or_else(|| authority(subject, usual));
    let request = Request::builder()
        .method(http.method)
        .uri(&http.path)
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Fault::ours(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| fault(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| fault(&error))?;
        judge(response, http).await
    };
    super::over(connection, exchange).await
}

async fn judge(response: Response<Incoming>, http: &Http) -> Result<Said, Fault> {
    let status = response.status().as_u16();
    if !http.expect_status.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
        return Err(Fault::of(Reason::Status(status)));
    }
    if let Some(expected) = &http.expect_body
        && !holds(response.into_body(), expected.as_bytes()).await?
    {
        return Err(Fault::with(Reason::Mismatch, &"the body lacks the expected text"));
    }
    Ok(Said { detail: Some(format!("HTTP status {status}")), ..Said::default() })
}

/// Whether the first bytes of a body hold the text.
async fn holds(mut body: Incoming, expected: &[u8]) -> Result<bool, Fault> {
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| fault(&error))?.into_data() else { continue };
        // The end of what was looked at may be the beginning of the text.
        let from = seen.len().saturating_sub(expected.len().saturating_sub(1));
        seen.extend_from_slice(&data[..data.len().min(LONGEST_BODY - seen.len())]);
        if contains(&seen[from..], expected) {
            return Ok(true);
        }
        if seen.len() >= LONGEST_BODY {
            break;
        }
    }
    Ok(false)
}

/// Whether the bytes hold others somewhere.
pub(super) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

fn fault(error: &hyper::Error) -> Fault {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    if let Some(cause) = cause {
        return io::Error::new(cause.kind(), cause.to_string()).into();
    }
    if error.is_parse() { Fault::with(Reason::Garbled, error) } else { Fault::with(Reason::Closed, error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_wherever_it_lies() {
        assert!(contains(b"status: ok\n", b"ok"));
        assert!(contains(b"ok", b"ok") && contains(b"", b""));
        assert!(!contains(b"o", b"ok") && !contains(b"", b"ok"));
    }
}
