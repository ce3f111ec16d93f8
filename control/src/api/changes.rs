//! The latest changes.

use super::Handles;
use crate::audit::Change;
use axum::Json;
use axum::extract::State;

/// The latest changes, the oldest first.
#[utoipa::path(get, path = "/v1/changes", responses((status = 200, description = "the changes", body = Vec<Change>)))]
pub(super) async fn changes(State(handles): State<Handles>) -> Json<Vec<Change>> {
    Json(handles.control().audit().changes().cloned().collect())
}
