//! A capture, as a stream.

use super::backends::read;
use super::described::BodyRefused;
use super::{Handles, Refusal, Refused};
use crate::capture::{AskError, CaptureAsk, CaptureRefused, start};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// What the stream is (RFC 6838 wants a name in a tree; nobody registered one).
const PCAPNG: &str = "application/x-pcapng";

/// Packets of the running process, with what became of them, as a pcapng file.
#[utoipa::path(
    post,
    path = "/v1/capture",
    request_body = Option<CaptureAsk>,
    responses(
        (status = 200, description = "a pcapng file, as it comes into being", content_type = PCAPNG, body = Vec<u8>),
        BodyRefused,
        (status = 404, description = "no such VIP, backend, port or reason", body = Refused),
        (status = 409, description = "another capture is under way", body = Refused),
        (status = 422, description = "a value that cannot be", body = Refused),
    )
)]
pub(super) async fn capture(State(handles): State<Handles>, body: Bytes) -> Result<Response, Refusal> {
    let ask = if body.is_empty() { CaptureAsk::default() } else { read(&body, r#"{"drop": "any", "count": 100}"#)? };
    let file = Body::new(start(&handles, &ask)?);
    Ok(([(header::CONTENT_TYPE, PCAPNG)], file).into_response())
}

impl From<CaptureRefused> for Refusal {
    fn from(error: CaptureRefused) -> Self {
        let status = match &error {
            CaptureRefused::Ask(AskError::Unknown { .. }) => StatusCode::NOT_FOUND,
            CaptureRefused::Ask(AskError::Value { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
            CaptureRefused::Busy => StatusCode::CONFLICT,
        };
        Self(status, error.to_string())
    }
}
