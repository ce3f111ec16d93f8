//! A configuration from a file.

use crate::report::Lines;
use crate::{Diagnostic, Machine, Parsed, Severity, parse};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file that is read: many times what the largest configuration needs, and a bound for `/dev/zero`.
const LARGEST_FILE: u64 = 64 << 20;

/// Why a file was refused. Shown with one line for each error, each starting with the file's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The file.
    pub path: PathBuf,
    /// Its errors, sorted by position; never empty.
    pub errors: Vec<Diagnostic>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", error.at_path(&self.path))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Reads, parses and validates a file; see [`parse`].
///
/// # Errors
///
/// One error for a file that cannot be read, is too large, is empty or is no text; else all errors of [`parse`].
pub fn load(path: &Path, machine: Option<&Machine>) -> Result<Parsed, Failure> {
    read(path)
        .map_err(|error| vec![error])
        .and_then(|source| parse(&source, machine))
        .map_err(|errors| Failure { path: path.to_owned(), errors })
}

fn read(path: &Path) -> Result<String, Diagnostic> {
    let unreadable = |error: std::io::Error| Diagnostic::of_file(format!("cannot read the file: {error}"));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Diagnostic::of_file(format!(
            "the file is larger than {} MiB: it is no configuration",
            LARGEST_FILE >> 20
        )));
    }
    text(bytes)
}

/// The bytes as text, or the first byte that is none.
fn text(bytes: Vec<u8>) -> Result<String, Diagnostic> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let before = String::from_utf8_lossy(&bytes[..good]);
        let before = before.strip_prefix('\u{feff}').unwrap_or(&before);
        let kind = if bytes.contains(&0) { "it is a binary file" } else { "save it as UTF-8" };
        Diagnostic {
            severity: Severity::Error,
            position: Some(Lines::new(before).position(before.len())),
            message: format!("the byte 0x{:02x} is not UTF-8: {kind}", bytes[good]),
            related: None,
            help: None,
        }
    })
}
