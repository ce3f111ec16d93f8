//! A capture, as a stream.

use super::backends::read;
use super::{Handles, Refusal};
use crate::capture::{AskError, CaptureAsk, CaptureRefused, start};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// What the stream is (RFC 6838 wants a name in a tree; nobody registered one).
const PCAPNG: &str = "application/x-pcapng";

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
