//! The latest changes.

use super::Handles;
use crate::audit::Change;
use axum::Json;
use axum::extract::State;

pub(super) async fn changes(State(handles): State<Handles>) -> Json<Vec<Change>> {
    Json(handles.control().audit().changes().cloned().collect())
}
