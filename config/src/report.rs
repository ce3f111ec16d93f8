//! Collects errors and warnings by byte offset, and turns them into diagnostics with lines and columns.

use crate::diagnostic::{Diagnostic, Position, Related, Severity};

/// What was found so far.
#[derive(Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

/// One error or warning, still by byte offset.
pub(crate) struct Finding {
    severity: Severity,
    at: usize,
    message: String,
    related: Option<(usize, String)>,
    help: Option<String>,
}

impl Finding {
    /// Adds what to do.
    pub(crate) fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help = Some(text.into());
        self
    }

    /// Adds a second place at byte `at`; `what` is for example `first defined`.
    pub(crate) fn related(&mut self, at: usize, what: &str) -> &mut Self {
        self.related = Some((at, what.to_owned()));
        self
    }
}

impl Report {
    /// Notes an error at byte `at`.
    pub(crate) fn error(&mut self, at: usize, message: impl Into<String>) -> &mut Finding {
        self.note(Severity::Error, at, message.into())
    }

    /// Notes a warning at byte `at`.
    pub(crate) fn warning(&mut self, at: usize, message: impl Into<String>) -> &mut Finding {
        self.note(Severity::Warning, at, message.into())
    }

    /// Whether the file is to be refused.
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn note(&mut self, severity: Severity, at: usize, message: String) -> &mut Finding {
        let index = self.findings.len();
        self.findings.push(Finding { severity, at, message, related: None, help: None });
        &mut self.findings[index]
    }

    /// Errors and warnings, each sorted by position; findings of one position stay in the order they came in.
    pub(crate) fn finish(mut self, source: &str) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        self.findings.sort_by_key(|finding| finding.at);
        let lines = Lines::new(source);
        self.findings
            .into_iter()
            .map(|finding| finding.placed(&lines))
            .partition(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

impl Finding {
    fn placed(self, lines: &Lines) -> Diagnostic {
        Diagnostic {
            severity: self.severity,
            position: Some(lines.position(self.at)),
            message: one_line(self.message),
            related: self.related.map(|(at, what)| Related { position: lines.position(at), what }),
            help: self.help.map(one_line),
        }
    }
}

/// Diagnostics are one line each, whatever a message quotes.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}

/// Where the lines of a source begin.
pub(crate) struct Lines<'s> {
    source: &'s str,
    starts: Vec<usize>,
}

impl<'s> Lines<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        let after_newlines = source.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1);
        Self { source, starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The place of byte `at`; an offset past the end counts as the end.
    pub(crate) fn position(&self, at: usize) -> Position {
        let mut at = at.min(self.source.len());
        while !self.source.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.starts.partition_point(|&start| start <= at);
        let start = self.starts[line - 1];
        Position { line, column: self.source[start..at].chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let lines = Lines::new("ä = 1\nößü = 2\n");
        assert_eq!(lines.position(0), Position { line: 1, column: 1 });
        assert_eq!(lines.position(3), Position { line: 1, column: 3 });
        assert_eq!(lines.position("ä = 1\nößü".len()), Position { line: 2, column: 4 });
        assert_eq!(lines.position(usize::MAX), Position { line: 3, column: 1 });
    }

    #[test]
    fn findings_are_sorted_and_keep_their_order_at_one_place() {
        let mut report = Report::default();
        report.error(3, "third");
        report.error(0, "first").related(3, "see");
        report.error(0, "second").help("do\nthis");
        report.warning(1, "aside");
        let (errors, warnings) = report.finish("a\nbc\n");
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["1:1: error: first (see at line 2)", "1:1: error: second; help: do this", "2:2: error: third"]
        );
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].to_string(), "1:2: warning: aside");
    }
}
