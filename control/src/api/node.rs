//! The drain of the whole machine.

use super::Handles;
use super::backends::read;
use super::described::BodyRefused;
use super::refusal::{Refusal, Refused};
use crate::drain::{Ask, DrainStatus};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;

/// Drains this machine, then stops it.
///
/// VIPs are not answered for any more (ARP, NDP, echo), what still arrives is forwarded, and when no packet for a VIP came for a
/// while, or at the limit, the process stops. Asked again, it gives the drain under way other times. The body may be absent.
#[utoipa::path(
    post,
    path = "/v1/drain",
    request_body = Option<Ask>,
    responses(
        (status = 200, description = "it has begun", body = DrainStatus),
        BodyRefused,
        (status = 422, description = "a time that cannot be", body = Refused),
    )
)]
pub(super) async fn drain(State(handles): State<Handles>, body: Bytes) -> Result<Json<DrainStatus>, Refusal> {
    let ask = if body.is_empty() { Ask::default() } else { read(&body, r#"{"limit_seconds": 60}"#)? };
    let now = (handles.clock)();
    let mut control = handles.control();
    let begun = control.drain(ask, now);
    begun.map_err(|message| Refusal(StatusCode::UNPROCESSABLE_ENTITY, message))?;
    handles.step(&mut control);
    control.drain_status(now).map(Json).ok_or_else(no_drain)
}

/// Undoes the drain of this machine.
#[utoipa::path(
    delete,
    path = "/v1/drain",
    responses(
        (status = 200, description = "how far it was", body = DrainStatus),
        (status = 409, description = "there is no drain under way", body = Refused),
    )
)]
pub(super) async fn cancel(State(handles): State<Handles>) -> Result<Json<DrainStatus>, Refusal> {
    let mut control = handles.control();
    let status = control.drain_status((handles.clock)()).ok_or_else(no_drain)?;
    control.cancel_drain();
    handles.step(&mut control);
    Ok(Json(status))
}

fn no_drain() -> Refusal {
    Refusal(StatusCode::CONFLICT, "this machine does not drain: there is nothing to cancel".to_owned())
}
