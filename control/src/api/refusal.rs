//! Why a request is refused, as JSON.

use crate::reload::run::ReloadError;
use crate::state::ChangeError;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A refusal: lines that say what, where and what to do.
pub(crate) struct Refusal(pub StatusCode, pub String);

/// The body of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// What is wrong and what to do; several lines if there are several reasons.
    pub error: String,
    /// The same, each reason by itself.
    pub reasons: Vec<String>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, error) = self;
        let reasons = error.lines().map(str::to_owned).collect();
        (status, Json(Refused { error, reasons })).into_response()
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let status = match &error {
            ChangeError::Pool { .. } | ChangeError::Backend { .. } => StatusCode::NOT_FOUND,
            ChangeError::Exists { .. }
            | ChangeError::Last { .. }
            | ChangeError::Leaving { .. }
            | ChangeError::Full(_) => StatusCode::CONFLICT,
            ChangeError::Weight(_) | ChangeError::State(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self(status, error.to_string())
    }
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
