//! What a benchmark leaves behind: its figures with all that a reader needs to judge them, as JSON.

use crate::machine::Machine;
use crate::peers;
use crate::present::Present;
use crate::{file, first_byte, maglev, ndr, probes, reconfig, report, scale, scrape, wake};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use std::{fs, io};

/// The version of the JSON: a reader refuses others.
pub const SCHEMA: u32 = 1;

/// One run of one benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The release that was measured.
    pub version: String,
    /// The commit that it was built from, with `-dirty` behind it if what is measured had changes beyond that commit;
    /// "unknown" outside of a repository.
    pub revision: String,
    /// The command, without its path, and its arguments.
    pub command_line: Vec<String>,
    /// When it began, in seconds since 1970 (UTC).
    pub started: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Where it ran.
    pub machine: Machine,
    /// What it found.
    pub results: Results,
}

/// When a run began, by the calendar and by a clock that nobody sets.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    calendar: SystemTime,
    clock: Instant,
}

impl Start {
    /// A run begins now.
    #[must_use]
    pub fn now() -> Self {
        Self { calendar: SystemTime::now(), clock: Instant::now() }
    }
}

/// Why a file is no record. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("{}: cannot read it: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The text ends before the JSON does.
    #[error("{}: ends too early, in line {line}: the file was cut off; run the benchmark again", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its last line.
        line: usize,
    },
    /// It is something else.
    #[error("{}: not JSON ({source}); a record is what `guideway bench … --out FILE` writes", .path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where the JSON ends.
        source: serde_json::Error,
    },
    /// It is JSON, but of something else.
    #[error("{}: JSON, but no record of a benchmark; that is what `guideway bench … --out FILE` writes", .path.display())]
    NoRecord {
        /// The file.
        path: PathBuf,
    },
    /// Another release wrote it.
    #[error("{}: has schema {found}, and this release reads {SCHEMA} only; read it with the release that wrote it, or \
             run the benchmark again", .path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: serde_json::Value,
    },
    /// The schema is ours, but not what follows.
    #[error("{}: not a record that this release knows: {source}", .path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot write it: {source}", .path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

impl Record {
    /// What this process found on `machine` since `start`.
    #[must_use]
    pub fn new(results: Results, machine: Machine, start: Start) -> Self {
        let mut command_line: Vec<String> =
            std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
        if let Some(program) = command_line.first_mut() {
            *program = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        }
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: env!("GUIDEWAY_REVISION").to_owned(),
            command_line,
            started: start.calendar.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            seconds: start.clock.elapsed().as_secs_f64(),
            machine,
            results,
        }
    }

    /// The record in a file.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if there is none that this release reads.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let text = fs::read_to_string(path).map_err(|source| ReadError::File { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ReadError> {
        let path = || path.to_owned();
        let value: serde_json::Value = serde_json::from_str(text).map_err(|source| match source.is_eof() {
            true => ReadError::Truncated { path: path(), line: source.line() },
            false => ReadError::NotJson { path: path(), source },
        })?;
        let found = value.get("schema").ok_or_else(|| ReadError::NoRecord { path: path() })?;
        if *found != SCHEMA {
            return Err(ReadError::Schema { path: path(), found: found.clone() });
        }
        // From the text once more, for the line in the error.
        serde_json::from_str(text).map_err(|source| ReadError::Shape { path: path(), source })
    }

    /// As JSON, in lines.
    ///
    /// # Errors
    ///
    /// None that a record can cause; what serialization says.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Writes the record to a file, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`WriteError`], which names the file; then `path` is as it was.
    pub fn write(&self, path: &Path) -> Result<(), WriteError> {
        let json = self.to_json().map_err(io::Error::from);
        json.and_then(|json| file::write(path, &json)).map_err(|source| WriteError { path: path.to_owned(), source })
    }
}

/// What a benchmark found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "benchmark", rename_all = "kebab-case")]
pub enum Results {
    /// `bench cycles`.
    Cycles(report::Report),
    /// `scripts/peers`.
    Peers(peers::report::Report),
    /// `bench ndr`.
    Ndr(ndr::report::Report),
    /// `bench reconfig`.
    Reconfig(reconfig::report::Report),
    /// `bench scale`.
    Scale(scale::report::Report),
    /// `bench wake`.
    Wake(wake::report::Report),
    /// `bench probes`.
    Probes(probes::report::Report),
    /// `bench maglev`.
    Maglev(maglev::report::Report),
    /// `bench scrape`.
    Scrape(scrape::report::Report),
    /// `scripts/first-byte`.
    FirstByte(first_byte::report::Report),
}

impl Results {
    /// How it is shown.
    #[must_use]
    pub fn present(&self) -> &dyn Present {
        match self {
            Self::Cycles(report) => report,
            Self::Peers(report) => report,
            Self::Ndr(report) => report,
            Self::Reconfig(report) => report,
            Self::Scale(report) => report,
            Self::Wake(report) => report,
            Self::Probes(report) => report,
            Self::Maglev(report) => report,
            Self::Scrape(report) => report,
            Self::FirstByte(report) => report,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Unit;

    fn record() -> Record {
        let report = report::Report {
            version: "0".to_owned(),
            device: "memory".to_owned(),
            processor: "a \"processor\"".to_owned(),
            virtual_machine: false,
            core: 1,
            unit: Unit::Ns,
            hz: 1_000_000_000,
            lead: 0,
            feed: crate::window::Feed::Own,
            steal_percent: None,
            cases: vec![],
        };
        Record::new(Results::Cycles(report), Machine::this(None, None), Start::now())
    }

    fn error(text: &str) -> String {
        Record::parse(text, Path::new("a.json")).expect_err("no record").to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.json");
        let written = record();
        written.write(&path).expect("written");
        let read = Record::read(&path).expect("a record");
        assert_eq!(read.to_json().expect("JSON"), written.to_json().expect("JSON"));
        assert_eq!(read.machine, written.machine);
    }

    #[test]
    fn a_record_tells_what_made_it() {
        let record = record();
        assert_eq!(record.schema, SCHEMA);
        assert!(record.command_line.first().is_some_and(|program| !program.is_empty() && !program.contains('/')));
        assert!(record.started > 1_700_000_000 && record.seconds >= 0.0, "{record:?}");
        let hash = record.revision.trim_end_matches("-dirty");
        assert!(hash == "unknown" || hash.len() >= 40 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    }

    #[test]
    fn every_cut_of_a_record_is_told_from_a_whole_one() {
        let text = record().to_json().expect("JSON");
        for end in 0..text.trim_end().len() {
            assert!(error(&text[..end]).contains("a.json: ends too early"), "{end}");
        }
    }

    #[test]
    fn what_is_no_record_is_named() {
        let text = record().to_json().expect("JSON");
        assert!(error("# Results").starts_with("a.json: not JSON (expected value at line 1 column 1)"));
        assert!(error("[1, 2]").contains("no record of a benchmark"));
        assert!(error(&text.replace("\"schema\": 1", "\"schema\": 2")).contains("has schema 2"));
        assert!(error(&text.replace("\"cycles\"", "\"bicycles\"")).contains("unknown variant `bicycles`"));
        assert!(error(&text.replace("\"kernel\"", "\"colonel\"")).contains("missing field `kernel` at line"));
        let nowhere = Record::read(Path::new("nowhere.json")).expect_err("no file").to_string();
        assert!(nowhere.starts_with("nowhere.json: cannot read it: "), "{nowhere}");
        let nowhere = record().write(Path::new("/nowhere/a.json")).expect_err("no directory").to_string();
        assert!(nowhere.starts_with("/nowhere/a.json: cannot write it: "), "{nowhere}");
    }
}
