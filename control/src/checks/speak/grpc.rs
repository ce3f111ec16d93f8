//! The gRPC health checking protocol: `grpc.health.v1.Health/Check` over HTTP/2.
//!
//! The two messages have one field each, so they are written and read here rather than by a code generator: `service` is
//! field 1 of the request, a string; `status` is field 1 of the response, an enumeration of which `SERVING` is 1.

use super::{Fault, Stream, authority};
use crate::checks::Subject;
use crate::health::Reason;
use guideway_config::model::Grpc;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE};
use hyper::{Method, Request, Version};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// Before each message: whether it is compressed, and its length in four bytes.
const PREFIX: usize = 5;
/// The longest answer that is read.
const LONGEST: usize = 4 << 10;
/// `SERVING`.
const SERVING: u64 = 1;
/// The trailer, or header, with the result of a call: 0 is good.
const STATUS: &str = "grpc-status";

/// Asks over a connection.
pub(super) async fn ask(stream: Stream, subject: &Subject, grpc: &Grpc) -> Result<(), Fault> {
    let (scheme, usual) = if grpc.tls.is_some() { ("https", 443) } else { ("http", 80) };
    let host = grpc.host.clone().unwrap_or_else(|| authority(subject, usual));
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("{scheme}://{host}{PATH}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(())
        .map_err(|error| Fault::ours(&error))?;
    let (client, connection) = h2::client::handshake(stream).await.map_err(fault)?;
    let exchange = async {
        let (response, mut body) = client.ready().await.map_err(fault)?.send_request(request, false).map_err(fault)?;
        body.send_data(framed(&message(&grpc.service)), true).map_err(fault)?;
        let response = response.await.map_err(fault)?;
        if !response.status().is_success() {
            return Err(Fault::of(Reason::Status(response.status().as_u16())));
        }
        judge(response).await
    };
    super::over(connection, exchange).await
}

async fn judge(response: hyper::Response<h2::RecvStream>) -> Result<(), Fault> {
    ended_well(response.headers())?;
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(fault)?;
        // Frees the window for more; a stream that ended needs none.
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
        if bytes.len() > LONGEST {
            return Err(Fault::with(Reason::Garbled, &"an answer that is too long"));
        }
    }
    if let Some(trailers) = body.trailers().await.map_err(fault)? {
        ended_well(&trailers)?;
    }
    match serving(&bytes) {
        Some(true) => Ok(()),
        Some(false) => Err(Fault::of(Reason::NotServing)),
        None => Err(Fault::with(Reason::Garbled, &"not a HealthCheckResponse")),
    }
}

fn ended_well(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(status) = headers.get(STATUS) else { return Ok(()) };
    match status.to_str().ok().and_then(|status| status.parse().ok()) {
        Some(0) => Ok(()),
        Some(code) => Err(Fault::of(Reason::Grpc(code))),
        None => Err(Fault::with(Reason::Garbled, &"a grpc-status that is no number")),
    }
}

/// A `HealthCheckRequest`.
fn message(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        let mut len = service.len();
        while len >= 0x80 {
            message.push(len as u8 | 0x80);
            len >>= 7;
        }
        message.push(len as u8);
        message.extend(service.as_bytes());
    }
    message
}

fn framed(message: &[u8]) -> Bytes {
    let len = message.len() as u32;
    [&[0][..], &len.to_be_bytes(), message].concat().into()
}

/// Whether a framed `HealthCheckResponse` says `SERVING`; `None`: it is none. Any bytes may be given.
#[must_use]
pub fn serving(bytes: &[u8]) -> Option<bool> {
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>()?;
    let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    let mut message = rest.get(..len).filter(|_| prefix[0] == 0)?;
    let mut status = 0;
    while !message.is_empty() {
        let (key, rest) = varint(message)?;
        message = match (key >> 3, key & 7) {
            (1, 0) => {
                let (value, rest) = varint(rest)?;
                status = value;
                rest
            }
            // Fields that later versions may have.
            (_, 0) => varint(rest)?.1,
            (_, 1) => rest.get(8..)?,
            (_, 2) => {
                let (len, rest) = varint(rest)?;
                rest.get(usize::try_from(len).ok()?..)?
            }
            (_, 5) => rest.get(4..)?,
            _ => return None,
        };
    }
    Some(status == SERVING)
}

/// A number of 7 bits a byte, the low ones first, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * place as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[place + 1..]));
        }
    }
    None
}

fn fault(error: h2::Error) -> Fault {
    let detail = error.to_string();
    if error.is_io()
        && let Some(cause) = error.into_io()
    {
        return cause.into();
    }
    let closed = detail.contains("closed") || detail.contains("reset");
    Fault::with(if closed { Reason::Closed } else { Reason::Garbled }, &detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_are_as_protobuf_has_them() {
        assert_eq!(message(""), b"");
        assert_eq!(message("shop.Cart"), b"\x0a\x09shop.Cart");
        let long = "a".repeat(300);
        assert_eq!(&message(&long)[..3], b"\x0a\xac\x02");
        assert_eq!(&framed(b"\x0a\x01a")[..], b"\0\0\0\0\x03\x0a\x01a");
    }

    #[test]
    fn only_serving_is_good() {
        assert_eq!(serving(b"\0\0\0\0\x02\x08\x01"), Some(true));
        assert_eq!(serving(b"\0\0\0\0\x02\x08\x02"), Some(false), "NOT_SERVING");
        assert_eq!(serving(b"\0\0\0\0\0"), Some(false), "UNKNOWN is 0, and not written");
        assert_eq!(serving(b"\0\0\0\0\x08\x12\x02hi\x08\x01\x18\x05"), Some(true), "among other fields");
        assert_eq!(serving(b"\x01\0\0\0\x02\x08\x01"), None, "compressed");
        assert_eq!(serving(b"\0\0\0\0\x03\x08\x01"), None, "cut off");
        assert_eq!(serving(b"\0\0\0\0\x01\x08"), None);
        assert_eq!(serving(b""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = serving(&bytes);
            let _ = serving(&framed(&bytes));
        }

        #[test]
        fn numbers_are_read_as_they_are_written(value: u64) {
            let mut bytes = Vec::new();
            let mut rest = value;
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
            bytes.push(0xff);
            prop_assert_eq!(varint(&bytes), Some((value, &[0xff][..])));
        }
    }

    #[test]
    fn the_result_of_the_call_is_read() {
        let of = |text: &str| HeaderMap::from_iter([(STATUS.parse().unwrap(), text.parse().unwrap())]);
        assert_eq!(ended_well(&of("0")), Ok(()));
        assert_eq!(ended_well(&of("5")), Err(Fault::of(Reason::Grpc(5))));
        assert_eq!(ended_well(&of("x")).map_err(|fault| fault.reason), Err(Some(Reason::Garbled)));
        assert_eq!(ended_well(&HeaderMap::new()), Ok(()));
    }
}
