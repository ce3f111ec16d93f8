//! Reload by request.

use super::backends::read;
use super::described::{BodyRefused, Stopping};
use super::refusal::{Refusal, Refused};
use super::{Handles, InUse};
use crate::reload::run::{Ask, Outcome, reload as run};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a reload answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// What changes.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Whether workers use it.
    #[serde(flatten)]
    pub in_use: InUse,
}

/// Applies the configuration file as a difference.
///
/// The body may be absent. All of the file is applied or nothing.
#[utoipa::path(
    post,
    path = "/v1/reload",
    request_body = Option<Ask>,
    responses(
        (status = 200, description = "what changes", body = Reloaded),
        BodyRefused,
        (status = 409, description = "the file asks for what cannot be done now, a reason each", body = Refused),
        (status = 422, description = "the file has errors, a reason each", body = Refused),
        Stopping,
    )
)]
pub(super) async fn reload(State(handles): State<Handles>, body: Bytes) -> Result<Json<Reloaded>, Refusal> {
    let ask = if body.is_empty() { Ask::default() } else { read(&body, r#"{"dry_run": true}"#)? };
    let outcome = run(&handles, ask).await?;
    Ok(Json(Reloaded { outcome, in_use: handles.in_use().await }))
}
