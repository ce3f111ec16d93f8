//! The status page: one file without any other resource, which asks `GET /v1/status` each second.
//!
//! It holds no secret: where the API wants a token, the page asks for one. Names come from everywhere, so nothing that the
//! page shows may become markup or script: it writes text only, and its policy allows no script and no style but its own
//! two, no other host, and no string to become markup (Content Security Policy Level 3, Trusted Types).

use super::{Handles, Refusal};
use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use std::fmt::Write;

/// Where the page is.
pub const PAGE_PATH: &str = "/";
/// The page; its nonce is to be filled in.
const PAGE: &str = include_str!("../../assets/page.html");
/// Where.
const NONCE: &str = "{nonce}";
/// Bytes of a nonce: 128 bits that nobody guesses (Content Security Policy Level 3, section 7.1).
const NONCE_LENGTH: usize = 16;

/// The route.
pub(super) fn router() -> Router<Handles> {
    Router::new().route(PAGE_PATH, get(page))
}

async fn page() -> Result<impl IntoResponse, Refusal> {
    let failed = |error: &dyn std::fmt::Display| {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("the page cannot be made: {error}"))
    };
    let nonce = nonce().map_err(|error| failed(&error))?;
    let policy = HeaderValue::from_str(&policy(&nonce)).map_err(|error| failed(&error))?;
    let fixed = |name: HeaderName, value| (name, HeaderValue::from_static(value));
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        fixed(header::CACHE_CONTROL, "no-store"),
        fixed(header::REFERRER_POLICY, "no-referrer"),
        fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        fixed(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        fixed(HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    Ok((headers, Html(PAGE.replace(NONCE, &nonce))))
}

fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; NONCE_LENGTH];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut nonce, byte| {
        // Writing to a string does not fail.
        let _ = write!(nonce, "{byte:02x}");
        nonce
    }))
}

/// Its own script and style, the API that it came from, and nothing else.
fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'"
    )
}
