//! Changes of backends.

use super::described::{BackendName, ChangeRefused, PoolName, Stopping};
use super::refusal::{Refusal, Refused};
use super::{Addition, Changed, Handles};
use crate::state::Change;
use crate::status::{self, model::CheckHistory};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use guideway_dataplane::ids::BackendId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::SystemTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The backend after the change.
type Answer = Result<Json<Changed>, Refusal>;

/// The same routes with those of backends.
pub(super) fn routes(routes: OpenApiRouter<Handles>) -> OpenApiRouter<Handles> {
    routes
        .routes(routes!(add))
        .routes(routes!(remove))
        .routes(routes!(history))
        .routes(routes!(drain))
        .routes(routes!(enable))
        .routes(routes!(disable))
        .routes(routes!(weight))
}

/// How a drain is to be.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Drain {
    /// Connections that are there move to other backends, and break.
    #[serde(default)]
    force: bool,
}

/// A share.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Weight {
    /// Relative to the others of its group, 0 to 65535; 0: no new connections.
    weight: u32,
}

/// The last results of a backend's checks.
#[utoipa::path(
    get,
    path = "/v1/pools/{pool}/backends/{backend}/history",
    params(BackendName),
    responses(
        (status = 200, description = "a list for each check", body = Vec<CheckHistory>),
        (status = 404, description = "there is no such pool or backend", body = Refused),
        Stopping,
    )
)]
async fn history(
    State(handles): State<Handles>,
    Path(BackendName { pool, backend }): Path<BackendName>,
) -> Result<Json<Vec<CheckHistory>>, Refusal> {
    let (id, checks) = {
        let control = handles.control();
        let state = control.state();
        let index = state.pool_named(&pool)?;
        let id = state.pools[index].backends[state.backend_named(index, &backend)?].id;
        (id, status::asked(state, index))
    };
    Ok(Json(status::history(&checks, &handles.history(id).await?, SystemTime::now())))
}

/// Gives a backend no new connections; those that it has stay until they end.
#[utoipa::path(
    post,
    path = "/v1/pools/{pool}/backends/{backend}/drain",
    params(BackendName),
    request_body = Option<Drain>,
    responses((status = 200, description = "the change has begun", body = Changed), ChangeRefused)
)]
async fn drain(State(handles): State<Handles>, Path(names): Path<BackendName>, body: Bytes) -> Answer {
    let Drain { force } = if body.is_empty() { Drain::default() } else { read(&body, r#"{"force": true}"#)? };
    change(&handles, &names, Change::Drain { force }).await
}

/// Gives a backend new connections again.
#[utoipa::path(
    post,
    path = "/v1/pools/{pool}/backends/{backend}/enable",
    params(BackendName),
    responses((status = 200, description = "the change has begun", body = Changed), ChangeRefused)
)]
async fn enable(State(handles): State<Handles>, Path(names): Path<BackendName>) -> Answer {
    change(&handles, &names, Change::Enable).await
}

/// Drains a backend, and checks it no more.
#[utoipa::path(
    post,
    path = "/v1/pools/{pool}/backends/{backend}/disable",
    params(BackendName),
    responses((status = 200, description = "the change has begun", body = Changed), ChangeRefused)
)]
async fn disable(State(handles): State<Handles>, Path(names): Path<BackendName>) -> Answer {
    change(&handles, &names, Change::Disable).await
}

/// Changes a backend's share of new connections.
#[utoipa::path(
    post,
    path = "/v1/pools/{pool}/backends/{backend}/weight",
    params(BackendName),
    request_body = Weight,
    responses((status = 200, description = "the change has begun", body = Changed), ChangeRefused)
)]
async fn weight(State(handles): State<Handles>, Path(names): Path<BackendName>, body: Bytes) -> Answer {
    let Weight { weight } = read(&body, r#"{"weight": 100}"#)?;
    change(&handles, &names, Change::Weight(weight)).await
}

/// Drains a backend, then takes it out of its pool.
#[utoipa::path(
    delete,
    path = "/v1/pools/{pool}/backends/{backend}",
    params(BackendName, ("force" = Option<bool>, Query, description = "without the drain")),
    responses((status = 200, description = "the change has begun", body = Changed), ChangeRefused)
)]
async fn remove(State(handles): State<Handles>, Path(names): Path<BackendName>, RawQuery(query): RawQuery) -> Answer {
    let force = match query.as_deref() {
        None | Some("" | "force=false") => false,
        Some("force=true") => true,
        Some(other) => {
            let message = format!("the query {other:?} is not known here: write force=true, or leave it out");
            return Err(Refusal(StatusCode::BAD_REQUEST, message));
        }
    };
    change(&handles, &names, Change::Remove { force }).await
}

/// A change, so that it begins at once.
async fn change(handles: &Handles, BackendName { pool, backend }: &BackendName, change: Change) -> Answer {
    let id = {
        let mut control = handles.control();
        let state = control.state();
        let index = state.pool_named(pool)?;
        let id = state.pools[index].backends[state.backend_named(index, backend)?].id;
        control.change(pool, backend, change, (handles.clock)())?;
        handles.step(&mut control);
        id
    };
    changed(handles, id).await
}

/// What became of a backend, once workers use the change.
async fn changed(handles: &Handles, id: BackendId) -> Answer {
    handles.save().await;
    let in_use = handles.in_use().await;
    let report = handles.report().await?;
    Ok(Json(Changed { in_use, backend: status::backend(&handles.control(), &report, id) }))
}

/// Adds a backend to a pool.
#[utoipa::path(
    post,
    path = "/v1/pools/{pool}/backends",
    params(PoolName),
    request_body = Addition,
    responses((status = 200, description = "the change has begun", body = Changed), ChangeRefused)
)]
async fn add(State(handles): State<Handles>, Path(PoolName { pool }): Path<PoolName>, body: Bytes) -> Answer {
    let addition: Addition = read(&body, r#"{"name": "web4", "address": "10.0.0.14"}"#)?;
    let id = {
        let mut control = handles.control();
        let index = control.state().pool_named(&pool)?;
        let backend = addition
            .check(&control.state().config, index)
            .map_err(|message| Refusal(StatusCode::UNPROCESSABLE_ENTITY, format!("pool {pool:?}: {message}")))?;
        let name = backend.name.clone();
        control.add(&pool, backend)?;
        handles.step(&mut control);
        let state = control.state();
        state.pools[index].backends[state.backend_named(index, &name)?].id
    };
    changed(&handles, id).await
}

/// A body of JSON, whatever its Content-Type is: `curl -d` sets one of its own.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body cannot be read as JSON: {error}; write for example {example}");
        Refusal(StatusCode::BAD_REQUEST, message)
    })
}
