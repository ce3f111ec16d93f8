//! Changes of backends.

use super::{Addition, Handles, Refusal};
use crate::state::Change;
use crate::status::{self, model::BackendStatus, model::CheckHistory};
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::SystemTime;

/// The backend after the change; `None`: it is gone already.
type Answer = Result<Json<Option<BackendStatus>>, Refusal>;
/// Pool and backend.
type Names = Path<(String, String)>;

/// The routes below a pool's backends.
pub(super) fn router() -> Router<Handles> {
    Router::new()
        .route("/", post(add))
        .route("/{backend}", delete(remove))
        .route("/{backend}/history", get(history))
        .route("/{backend}/drain", post(drain))
        .route("/{backend}/enable", post(enable))
        .route("/{backend}/disable", post(disable))
        .route("/{backend}/weight", post(weight))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weight {
    weight: u32,
}

async fn history(
    State(handles): State<Handles>,
    Path((pool, name)): Names,
) -> Result<Json<Vec<CheckHistory>>, Refusal> {
    let (id, checks) = {
        let control = handles.control();
        let state = control.state();
        let index = state.pool_named(&pool)?;
        let id = state.pools[index].backends[state.backend_named(index, &name)?].id;
        (id, status::asked(state, index))
    };
    Ok(Json(status::history(&checks, &handles.history(id).await?, SystemTime::now())))
}

async fn drain(State(handles): State<Handles>, Path(names): Names, body: Bytes) -> Answer {
    let Drain { force } = if body.is_empty() { Drain::default() } else { read(&body, r#"{"force": true}"#)? };
    change(&handles, &names, Change::Drain { force }).await
}

async fn enable(State(handles): State<Handles>, Path(names): Names) -> Answer {
    change(&handles, &names, Change::Enable).await
}

async fn disable(State(handles): State<Handles>, Path(names): Names) -> Answer {
    change(&handles, &names, Change::Disable).await
}

async fn weight(State(handles): State<Handles>, Path(names): Names, body: Bytes) -> Answer {
    let Weight { weight } = read(&body, r#"{"weight": 100}"#)?;
    change(&handles, &names, Change::Weight(weight)).await
}

async fn remove(State(handles): State<Handles>, Path(names): Names, RawQuery(query): RawQuery) -> Answer {
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
async fn change(handles: &Handles, (pool, name): &(String, String), change: Change) -> Answer {
    let report = handles.report().await?;
    let mut control = handles.control();
    let state = control.state();
    let index = state.pool_named(pool)?;
    let id = state.pools[index].backends[state.backend_named(index, name)?].id;
    control.change(pool, name, change, (handles.clock)())?;
    handles.step(&mut control);
    Ok(Json(status::backend(&control, &report, id)))
}

async fn add(State(handles): State<Handles>, Path(pool): Path<String>, body: Bytes) -> Answer {
    let addition: Addition = read(&body, r#"{"name": "web4", "address": "10.0.0.14"}"#)?;
    let report = handles.report().await?;
    let mut control = handles.control();
    let index = control.state().pool_named(&pool)?;
    let backend = addition
        .check(&control.state().config, index)
        .map_err(|message| Refusal(StatusCode::UNPROCESSABLE_ENTITY, format!("pool {pool:?}: {message}")))?;
    let name = backend.name.clone();
    control.add(&pool, backend)?;
    handles.step(&mut control);
    let state = control.state();
    let added = state.backend_named(index, &name)?;
    Ok(Json(status::backend(&control, &report, state.pools[index].backends[added].id)))
}

/// A body of JSON, whatever its Content-Type is: `curl -d` sets one of its own.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body cannot be read as JSON: {error}; write for example {example}");
        Refusal(StatusCode::BAD_REQUEST, message)
    })
}
