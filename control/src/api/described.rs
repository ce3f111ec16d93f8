//! What several routes have in common, as the description says it.

// The description is made from these types; what is sent is a `Refusal`.
#![expect(dead_code, reason = "nobody makes a value of a type that describes answers")]

use super::Refused;
use serde::Deserialize;
use utoipa::{IntoParams, IntoResponses};

/// The pool of a request.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct PoolName {
    /// The name of the pool.
    pub pool: String,
}

/// The backend of a request.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct BackendName {
    /// The name of the pool.
    pub pool: String,
    /// The name of the backend.
    pub backend: String,
}

/// Why a change of a backend is refused.
#[derive(IntoResponses)]
pub(super) enum ChangeRefused {
    #[response(status = 400, description = "the request cannot be read")]
    Unread(Refused),
    #[response(status = 404, description = "there is no such pool or backend")]
    Unknown(Refused),
    #[response(status = 409, description = "it does not go with how things are")]
    Conflict(Refused),
    #[response(status = 422, description = "a value that cannot be")]
    Value(Refused),
    #[response(status = 503, description = "the process is stopping")]
    Stopping(Refused),
}

/// The refusal of a body.
#[derive(IntoResponses)]
#[response(status = 400, description = "the body cannot be read")]
pub(super) struct BodyRefused(Refused);

/// The refusal of any request at the end.
#[derive(IntoResponses)]
#[response(status = 503, description = "the process is stopping")]
pub(super) struct Stopping(Refused);
