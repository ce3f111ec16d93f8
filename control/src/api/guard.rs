//! The API over TCP: whoever asks shows the token. Without one, which only loopback addresses may be, programs of this machine
//! are let in, and pages that a browser has from elsewhere are not.

use super::page::PAGE_PATH;
use super::refusal::Refusal;
use super::{Handles, router};
use crate::audit::author::ShownToken;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use guideway_config::model::Listen;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The shortest token, in bytes: what nobody guesses.
const SHORTEST_TOKEN: usize = 16;

/// Why there is no API over TCP.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// The address cannot be had.
    #[error("[api] listen = \"{address}\": {source}; is another process there, or is it no address of this machine?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The file of the token cannot be read.
    #[error("[api] token_file {path}: {source}; make one: openssl rand -hex 32")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others can read it.
    #[error("[api] token_file {0}: everybody can read it; chmod o= on it, and make another token")]
    Open(PathBuf),
    /// It is too short.
    #[error("[api] token_file {0}: the token has less than 16 characters; make one: openssl rand -hex 32")]
    Short(PathBuf),
}

/// A bound address, and who is let in.
#[derive(Debug)]
pub struct Listener {
    /// The listener, non-blocking.
    pub listener: TcpListener,
    token: Option<Arc<[u8]>>,
}

impl Listener {
    /// Binds the address, and reads the token.
    ///
    /// # Errors
    ///
    /// [`ListenerError`].
    pub fn bind(listen: &Listen) -> Result<Self, ListenerError> {
        let token = listen.token_file.as_deref().map(read_token).transpose()?;
        let failed = |source| ListenerError::Bind { address: listen.address, source };
        let listener = TcpListener::bind(listen.address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener, token })
    }

    /// The routes for who comes in here.
    pub fn router(&self, handles: Handles) -> Router {
        router(handles).layer(from_fn_with_state(self.token.clone(), admit))
    }
}

/// The token in a file: a line.
fn read_token(path: &Path) -> Result<Arc<[u8]>, ListenerError> {
    let failed = |source| ListenerError::Read { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(ListenerError::Open(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let token = text.trim();
    if token.len() < SHORTEST_TOKEN {
        return Err(ListenerError::Short(path.to_owned()));
    }
    Ok(token.as_bytes().into())
}

/// Lets a request pass that may.
async fn admit(State(token): State<Option<Arc<[u8]>>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    match token {
        Some(token) if shows(headers, &token) => {
            request.extensions_mut().insert(ShownToken);
            next.run(request).await
        }
        // The page holds no secret, and asks for the token itself: a browser shows none when it opens a page.
        Some(_) if request.uri().path() != PAGE_PATH => {
            let message =
                "this address wants a token: send `Authorization: Bearer TOKEN` with what is in `[api] token_file`";
            let mut refused = Refusal(StatusCode::UNAUTHORIZED, message.to_owned()).into_response();
            refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            refused
        }
        None if is_foreign(headers) => {
            let message = "this address is for programs of this machine: a page from elsewhere needs a `token_file`";
            Refusal(StatusCode::FORBIDDEN, message.to_owned()).into_response()
        }
        _ => next.run(request).await,
    }
}

/// Whether a request shows the token (RFC 6750 section 2.1). How long that takes says nothing of it but its length.
fn shows(headers: &HeaderMap, token: &[u8]) -> bool {
    let value = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, shown) = value.split_at(value.len().min(BEARER.len()));
    scheme.eq_ignore_ascii_case(BEARER) && shown.trim_ascii().ct_eq(token).into()
}

/// Before the token.
const BEARER: &[u8] = b"Bearer ";

/// Whether a browser sends this for a page of another site: by its origin, or by a name that leads here for it alone.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let host = text(HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let is_local = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    !is_local || text(ORIGIN).is_some_and(|origin| origin != format!("http://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn the_whole_token_and_nothing_else_is_let_in() {
        let token = b"0123456789abcdef";
        for good in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef"] {
            assert!(shows(&headers(&[(AUTHORIZATION, good)]), token), "{good}");
        }
        for bad in
            ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Basic 0123456789abcdef"]
        {
            assert!(!shows(&headers(&[(AUTHORIZATION, bad)]), token), "{bad}");
        }
        assert!(!shows(&HeaderMap::new(), token));
    }

    #[test]
    fn pages_from_elsewhere_are_foreign() {
        for host in ["127.0.0.1:9400", "localhost:9400", "[::1]:9400", "127.0.0.1"] {
            assert!(!is_foreign(&headers(&[(HOST, host)])), "{host}");
            assert!(!is_foreign(&headers(&[(HOST, host), (ORIGIN, &format!("http://{host}"))])), "{host}");
            assert!(is_foreign(&headers(&[(HOST, host), (ORIGIN, "http://example.com")])), "{host}");
        }
        assert!(is_foreign(&headers(&[(HOST, "example.com:9400")])), "a name that leads here");
        assert!(is_foreign(&HeaderMap::new()));
    }

    #[test]
    fn a_token_is_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read_token(&path)
        };
        assert!(matches!(read_token(&path), Err(ListenerError::Read { .. })));
        assert!(matches!(write("0123456789abcdef\n", 0o644), Err(ListenerError::Open(_))));
        assert!(matches!(write("0123456789abcde\n", 0o640), Err(ListenerError::Short(_))));
        assert_eq!(*write("0123456789abcdef\n", 0o640).unwrap(), *b"0123456789abcdef");
    }
}
