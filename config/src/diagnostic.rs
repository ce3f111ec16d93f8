//! What is wrong, where, and what to do: the form in which errors and warnings leave this crate.

use std::fmt;
use std::path::Path;

/// Whether a diagnostic refuses the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is accepted, but says something that is probably not meant.
    Warning,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

/// A second place that a diagnostic speaks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// Where it is.
    pub position: Position,
    /// What is there, for example `first defined`.
    pub what: String,
}

/// One error or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// Where; `None` if it concerns the whole file, such as a file that cannot be read.
    pub position: Option<Position>,
    /// What is wrong, in one line.
    pub message: String,
    /// A second place.
    pub related: Option<Related>,
    /// What to do, in one line.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error about a whole file.
    pub(crate) fn of_file(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, position: None, message: message.into(), related: None, help: None }
    }

    /// The diagnostic as one line that starts with the file: `path:line:column: error: message; help: …`.
    pub fn at_path<'d>(&'d self, path: &'d Path) -> impl fmt::Display + 'd {
        AtPath { path, diagnostic: self }
    }
}

/// `line:column: error: message (first defined at line N); help: …`, one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "{}:{}: ", position.line, position.column)?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.message)?;
        if let Some(related) = &self.related {
            write!(f, " ({} at line {})", related.what, related.position.line)?;
        }
        if let Some(help) = &self.help {
            write!(f, "; help: {help}")?;
        }
        Ok(())
    }
}

struct AtPath<'d> {
    path: &'d Path,
    diagnostic: &'d Diagnostic,
}

impl fmt::Display for AtPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if self.diagnostic.position.is_some() { "" } else { " " };
        write!(f, "{}:{gap}{}", self.path.display(), self.diagnostic)
    }
}
