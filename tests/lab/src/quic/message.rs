//! What the two ends say to each other: a stream is a request and its answer.
//!
//! The request is a text, `bytes text`; the answer a line, `name text`, and behind it that many bytes of the pattern.

use anyhow::{Context, Result};

/// The longest request and the longest line of an answer, in bytes.
pub(super) const MAX_TEXT: usize = 200;

/// Bytes to answer with, and the text to repeat.
pub(super) fn request(bytes: usize, text: &str) -> String {
    format!("{bytes} {text}")
}

/// Reads what [`request`] wrote.
pub(super) fn read_request(request: &[u8]) -> Result<(usize, String)> {
    let text = String::from_utf8_lossy(request);
    let (bytes, text) = text.split_once(' ').with_context(|| format!("not a request: {text:?}"))?;
    Ok((bytes.parse().with_context(|| format!("not a number: {bytes}"))?, text.to_owned()))
}

/// Bytes `from..to` of what a download consists of. No shift by less than 251 leaves it as it is.
pub(super) fn pattern(from: usize, to: usize) -> Vec<u8> {
    (from..to).map(|index| (index % 251) as u8).collect()
}
