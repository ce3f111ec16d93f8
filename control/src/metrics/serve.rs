//! `GET /metrics` by HTTP.

use super::{Backends, Form, Sample, encode};
use crate::api::{Handles, Refusal};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;

/// Where `GET` gives the metrics.
pub const METRICS_PATH: &str = "/metrics";

/// The route.
pub fn router() -> Router<Handles> {
    Router::new().route(METRICS_PATH, get(metrics))
}

async fn metrics(
    State(handles): State<Handles>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Refusal> {
    let backends = wanted(query.as_deref())?;
    let form = Form::accepted(headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()));
    let report = handles.report().await?;
    let sample = Arc::new(Sample::take(&handles.control(), report));
    // Not here: this thread publishes what happens to backends.
    let text = tokio::task::spawn_blocking(move || encode(&sample, backends, form));
    let failed = |error: &dyn std::fmt::Display| {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics cannot be written: {error}"))
    };
    let text = text.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    Ok(([(header::CONTENT_TYPE, form.content_type())], text))
}

fn wanted(query: Option<&str>) -> Result<Backends, Refusal> {
    match query {
        None | Some("" | "backends=all") => Ok(Backends::All),
        Some("backends=none") => Ok(Backends::None),
        Some(other) => {
            let message = format!("the query {other:?} is not known here: write backends=none, or leave it out");
            Err(Refusal(StatusCode::BAD_REQUEST, message))
        }
    }
}
