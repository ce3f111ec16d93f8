//! The control socket: HTTP and JSON over a unix socket that only the owner and its group may open.
//!
//! | request | what it does | answer |
//! | --- | --- | --- |
//! | `GET /v1/status` | | [`model::Status`] |
//! | `GET /v1/pools/{pool}` | | [`model::PoolStatus`] |
//! | `POST /v1/pools/{pool}/backends` | adds an [`Addition`] | the backend |
//! | `GET …/backends/{backend}/history` | | a list of [`model::CheckHistory`] |
//! | `POST …/backends/{backend}/drain` | no new flows; `{"force": true}`: and no old ones; the body may be absent | the backend |
//! | `POST …/backends/{backend}/enable` | back from a drain | the backend |
//! | `POST …/backends/{backend}/disable` | a drain, and no checks | the backend |
//! | `POST …/backends/{backend}/weight` | `{"weight": 100}` | the backend |
//! | `POST /v1/reload` | applies the file; a [`reload::run::Ask`](crate::reload::run::Ask), or no body | a [`reload::run::Outcome`](crate::reload::run::Outcome) |
//! | `DELETE …/backends/{backend}` | a drain, then it is gone; `?force=true`: without the drain | the backend, `null` if it is gone |
//!
//! A backend is a [`model::BackendStatus`]. A refusal is a line of text: 400 for a request that cannot be read, 404 for an
//! unknown pool or backend, 409 for what does not go with how things are, 422 for a value that cannot be. A reload is refused
//! with a line for each reason.

mod addition;
mod backends;
pub mod client;
mod reload;
mod socket;

use crate::checks::{self, HistoryResult};
use crate::control::Control;
use crate::duties::{duties, subjects};
use crate::events::Request;
use crate::health::CheckNumber;
use crate::reload::run::Source;
use crate::rt::Report;
use crate::state::ChangeError;
use crate::status::{self, model};
pub use addition::Addition;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
pub use socket::{Socket, SocketError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Where `GET` gives the status.
pub const STATUS_PATH: &str = "/v1/status";
/// Where a reload is asked for.
const RELOAD_PATH: &str = "/v1/reload";
/// Where the pools are.
const POOLS_PATH: &str = "/v1/pools";

/// What handlers share.
#[derive(Clone)]
pub struct Handles {
    /// The background side. Everything that locks it runs on the background thread, so nobody ever waits.
    pub control: Arc<Mutex<Control>>,
    /// The way to the real-time thread.
    pub requests: crossbeam::channel::Sender<Request>,
    /// The way to the thread of the checks.
    pub checks: mpsc::UnboundedSender<checks::Request>,
    /// The clock that workers use too.
    pub clock: Arc<dyn Fn() -> Nanos + Send + Sync>,
    /// The file that a reload reads again.
    pub source: Option<Arc<Source>>,
}

impl Handles {
    pub(crate) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with everything that waits, and tells the real-time thread its duties if they changed.
    pub(crate) fn step(&self, control: &mut Control) {
        control.step((self.clock)());
        if control.take_duties_stale() {
            self.assign(control.state());
        }
    }

    /// Tells the real-time thread and that of the checks what to do.
    pub(crate) fn assign(&self, state: &crate::state::State) {
        // A send fails only while the process stops.
        let _ = self.requests.send(Request::Configure(Box::new(duties(state))));
        let _ = self.checks.send(checks::Request::Configure(subjects(state)));
    }

    async fn report(&self) -> Result<Report, Refusal> {
        let stopping = || Refusal(StatusCode::SERVICE_UNAVAILABLE, "the process is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Report(answer)).map_err(|_| stopping())?;
        let report = answered.await.map_err(|_| stopping())?;
        let (answer, answered) = oneshot::channel();
        self.checks.send(checks::Request::Report(answer)).map_err(|_| stopping())?;
        Ok(Report { checks: answered.await.map_err(|_| stopping())?, ..report })
    }

    /// The last results of a backend's checks, by their numbers.
    async fn history(&self, backend: BackendId) -> Result<Vec<(CheckNumber, Vec<HistoryResult>)>, Refusal> {
        let stopping = || Refusal(StatusCode::SERVICE_UNAVAILABLE, "the process is stopping".to_owned());
        let (answer, of_prober) = oneshot::channel();
        self.requests.send(Request::History(backend, answer)).map_err(|_| stopping())?;
        let (answer, of_checks) = oneshot::channel();
        self.checks.send(checks::Request::History(backend, answer)).map_err(|_| stopping())?;
        let mut all = of_checks.await.map_err(|_| stopping())?;
        all.extend(of_prober.await.map_err(|_| stopping())?);
        all.sort_by_key(|(number, _)| *number);
        Ok(all)
    }
}

/// Why a request is refused: a line that says what, where and what to do.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
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

/// The routes.
pub fn router(handles: Handles) -> Router {
    Router::new()
        .route(STATUS_PATH, get(get_status))
        .route(RELOAD_PATH, post(reload::reload))
        .route(&format!("{POOLS_PATH}/{{pool}}"), get(get_pool))
        .nest(&format!("{POOLS_PATH}/{{pool}}/backends"), backends::router())
        .with_state(handles)
}

async fn get_status(State(handles): State<Handles>) -> Result<Json<model::Status>, Refusal> {
    let report = handles.report().await?;
    Ok(Json(status::status(&handles.control(), &report, (handles.clock)())))
}

async fn get_pool(
    State(handles): State<Handles>,
    Path(pool): Path<String>,
) -> Result<Json<model::PoolStatus>, Refusal> {
    let report = handles.report().await?;
    let control = handles.control();
    let index = control.state().pool_named(&pool)?;
    Ok(Json(status::pool(&control, &report, index, (handles.clock)())))
}
