//! The control socket: HTTP and JSON over a unix socket that only the owner and its group may open.

pub mod client;
mod socket;

use crate::control::Control;
use crate::events::Request;
use crate::rt::Report;
use crate::status::{model, status};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use guideway_dataplane::time::Nanos;
pub use socket::{Socket, SocketError};
use std::sync::{Arc, Mutex, PoisonError};

/// Where `GET` gives the status.
pub const STATUS_PATH: &str = "/v1/status";

/// What handlers share.
#[derive(Clone)]
pub struct Handles {
    /// The background side. Everything that locks it runs on the background thread, so nobody ever waits.
    pub control: Arc<Mutex<Control>>,
    /// The way to the real-time thread.
    pub requests: crossbeam::channel::Sender<Request>,
    /// The clock that workers use too.
    pub clock: Arc<dyn Fn() -> Nanos + Send + Sync>,
}

/// The routes.
pub fn router(handles: Handles) -> Router {
    Router::new().route(STATUS_PATH, get(get_status)).with_state(handles)
}

async fn get_status(State(handles): State<Handles>) -> Result<Json<model::Status>, (StatusCode, String)> {
    let stopping = || (StatusCode::SERVICE_UNAVAILABLE, "the process is stopping".to_owned());
    let report = ask_report(&handles).await.ok_or_else(stopping)?;
    let control = handles.control.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Json(status(&control, &report)))
}

async fn ask_report(handles: &Handles) -> Option<Report> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    handles.requests.send(Request::Report(answer)).ok()?;
    answered.await.ok()
}
