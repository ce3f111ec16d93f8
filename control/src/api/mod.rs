//! The control socket: HTTP and JSON over a unix socket that only the owner and its group may open.
//!
//! | request | what it does | answer |
//! | --- | --- | --- |
//! | `GET /v1/status` | | [`model::Status`] |
//! | `GET /` | the status page | HTML |
//! | `GET /metrics` | for Prometheus: [`metrics`] | OpenMetrics, or its older text format |
//! | `GET /v1/pools/{pool}` | | [`model::PoolStatus`] |
//! | `POST /v1/pools/{pool}/backends` | adds an [`Addition`] | [`Changed`] |
//! | `GET …/backends/{backend}/history` | | a list of [`model::CheckHistory`] |
//! | `POST …/backends/{backend}/drain` | no new flows; `{"force": true}`: and no old ones; the body may be absent | [`Changed`] |
//! | `POST …/backends/{backend}/enable` | back from a drain | [`Changed`] |
//! | `POST …/backends/{backend}/disable` | a drain, and no checks | [`Changed`] |
//! | `POST …/backends/{backend}/weight` | `{"weight": 100}` | [`Changed`] |
//! | `POST /v1/reload` | applies the file; a [`reload::run::Ask`](crate::reload::run::Ask), or no body | [`Reloaded`] |
//! | `DELETE …/backends/{backend}` | a drain, then it is gone; `?force=true`: without the drain | [`Changed`] |
//! | `GET /v1/changes` | | the latest [`Change`](crate::audit::Change)s, the oldest first |
//! | `POST /v1/capture` | packets by a [`CaptureAsk`](crate::capture::CaptureAsk), or all | a pcapng file, as it comes into being |
//! | `POST /v1/drain` | drains this machine, then stops it; a [`drain::Ask`](crate::drain::Ask), or no body | a [`DrainStatus`](crate::drain::DrainStatus) |
//! | `DELETE /v1/drain` | undoes that | how far it was |
//! | `GET /v1/openapi.json` | | this in OpenAPI 3.1, made from the code |
//!
//! A change answers when every worker uses it, or after [`Handles::patience`], with [`InUse`]; that of a backend is a
//! [`Changed`]. A refusal is a [`Refused`]: 400 for a request that cannot be read, 401 for one without the token over TCP, 404 for
//! an unknown pool or backend, 409 for what does not go with how things are, 422 for a value that cannot be.

mod addition;
mod backends;
mod capture;
mod changed;
mod changes;
pub mod client;
mod described;
mod guard;
mod node;
mod page;
mod refusal;
mod reload;
mod socket;
mod store;

use crate::checks::{self, HistoryResult};
use crate::control::Control;
use crate::duties::{duties, subjects};
use crate::events::Request;
use crate::health::CheckNumber;
use crate::metrics;
use crate::reload::run::Source;
use crate::rt::Report;
use crate::status::{self, model};
pub use addition::Addition;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Json, Router};
pub use changed::{Changed, InUse};
use described::{PoolName, Stopping};
pub use guard::{Listener, ListenerError};
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
pub use page::PAGE_PATH;
pub(crate) use refusal::Refusal;
pub use refusal::Refused;
pub use reload::Reloaded;
pub use socket::{Socket, SocketError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
pub use store::Store;
use tokio::sync::{mpsc, oneshot};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, Info, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where `GET` gives the status.
pub const STATUS_PATH: &str = "/v1/status";
/// Where a reload is asked for.
const RELOAD_PATH: &str = "/v1/reload";
/// Where the drain of the machine is.
const DRAIN_PATH: &str = "/v1/drain";
/// Where the latest changes are.
const CHANGES_PATH: &str = "/v1/changes";
/// Where a capture is asked for.
const CAPTURE_PATH: &str = "/v1/capture";
/// Where the pools are.
const POOLS_PATH: &str = "/v1/pools";
/// How the description calls the token.
const BEARER: &str = "token";
/// How long a change waits for workers: one that is stopped for longer is told of.
pub const PATIENCE: Duration = Duration::from_secs(1);

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
    /// How long a change waits for workers to use it before it answers all the same.
    pub patience: Duration,
    /// Where changes at run time are kept.
    pub store: Option<Arc<Store>>,
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

    pub(crate) async fn report(&self) -> Result<Report, Refusal> {
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

/// The routes, and their description.
fn described() -> (Router<Handles>, OpenApi) {
    let routes = OpenApiRouter::with_openapi(description())
        .routes(routes!(get_status))
        .routes(routes!(get_pool))
        .routes(routes!(reload::reload))
        .routes(routes!(changes::changes))
        .routes(routes!(capture::capture))
        .routes(routes!(node::drain))
        .routes(routes!(node::cancel))
        .routes(routes!(openapi));
    backends::routes(routes).split_for_parts()
}

/// What the description says of the whole.
fn description() -> OpenApi {
    let mut info = Info::new("Guideway", env!("CARGO_PKG_VERSION"));
    info.description = Some("The control of a running layer-4 load balancer.".to_owned());
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = ComponentsBuilder::new().security_scheme(BEARER, bearer).build();
    // Over the unix socket nobody asks for it.
    let anyone = SecurityRequirement::default();
    let security = [anyone, SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])];
    OpenApiBuilder::new().info(info).components(Some(components)).security(Some(security)).build()
}

/// The routes.
pub fn router(handles: Handles) -> Router {
    let routes = described().0.merge(metrics::router()).merge(page::router());
    routes.layer(axum::middleware::from_fn(crate::audit::author::of_request)).with_state(handles)
}

/// This description, made from the code.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
async fn openapi() -> Json<OpenApi> {
    Json(described().1)
}

/// How everything is doing.
#[utoipa::path(
    get,
    path = "/v1/status",
    responses(
        (status = 200, description = "the status", body = model::Status),
        Stopping,
    )
)]
async fn get_status(State(handles): State<Handles>) -> Result<Json<model::Status>, Refusal> {
    let report = handles.report().await?;
    Ok(Json(status::status(&handles.control(), &report, (handles.clock)())))
}

/// How a pool is doing.
#[utoipa::path(
    get,
    path = "/v1/pools/{pool}",
    params(PoolName),
    responses(
        (status = 200, description = "the pool", body = model::PoolStatus),
        (status = 404, description = "there is no such pool", body = Refused),
        Stopping,
    )
)]
async fn get_pool(
    State(handles): State<Handles>,
    Path(PoolName { pool }): Path<PoolName>,
) -> Result<Json<model::PoolStatus>, Refusal> {
    let report = handles.report().await?;
    let control = handles.control();
    let index = control.state().pool_named(&pool)?;
    Ok(Json(status::pool(&control, &report, index, (handles.clock)())))
}
