//! Reload by request.

use super::backends::read;
use super::{Handles, Refusal};
use crate::reload::run::{Ask, Outcome, ReloadError, reload as run};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;

pub(super) async fn reload(State(handles): State<Handles>, body: Bytes) -> Result<Json<Outcome>, Refusal> {
    let ask = if body.is_empty() { Ask::default() } else { read(&body, r#"{"dry_run": true}"#)? };
    Ok(Json(run(&handles, ask).await?))
}

impl From<ReloadError> for Refusal {
    fn from(error: ReloadError) -> Self {
        let status = match &error {
            ReloadError::File(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ReloadError::NoFile | ReloadError::Refused { .. } => StatusCode::CONFLICT,
            ReloadError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}
