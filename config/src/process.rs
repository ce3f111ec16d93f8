//! `[fleet]`, `[dpdk]`, `[api]` and `[state]`: what concerns the whole process.

use crate::model::DEFAULT_SOCKET;
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::scalar::{self, Fault};
use crate::schema;
use std::path::PathBuf;
use std::time::Duration;

/// Longest path of a Unix socket in bytes: `sun_path` of sockaddr_un, less the closing NUL (unix(7)).
const SOCKET_LENGTH: usize = 107;

/// What tables may take unless configured: 1 GiB.
const TABLE_MEMORY: u64 = 1 << 30;

/// Pins unless configured: 8 MiB.
const PINS: usize = 1 << 20;
/// One bucket.
const FEWEST_PINS: u64 = 8;
/// 2 GiB.
const MOST_PINS: u64 = 1 << 28;

/// A client repeats a SYN after 1 s, and again 2 s later (RFC 6298, section 2).
const ARM_TIME: Duration = Duration::from_secs(3);

pub(crate) struct ProcessDraft {
    pub(crate) hash_key: Option<[u8; 16]>,
    pub(crate) extra_args: Option<Vec<String>>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) state: Option<StateDraft>,
}

pub(crate) struct StateDraft {
    pub(crate) table_memory: Option<u64>,
    pub(crate) pins: Option<usize>,
    pub(crate) arm_time: Option<Duration>,
}

/// Reads the four sections out of the file.
pub(crate) fn read(file: &mut Reader<'_>, report: &mut Report) -> ProcessDraft {
    ProcessDraft {
        hash_key: hash_key(file, report),
        extra_args: extra_args(file, report),
        socket: socket(file, report),
        state: state(file, report),
    }
}

fn hash_key(file: &mut Reader<'_>, report: &mut Report) -> Option<[u8; 16]> {
    let mut fleet = file.need("fleet", report)?.table(&schema::FLEET, report)?;
    let key = fleet.need("hash_key", report).and_then(|value| value.parsed(scalar::hash_key, report));
    fleet.finish(report);
    let Located { at, value } = key?;
    if value == [0; 16] {
        report
            .warning(at, "`hash_key` is all zero: whoever guesses that can aim flows at one backend")
            .help("make one for the whole fleet: openssl rand -hex 16");
    }
    Some(value)
}

fn extra_args(file: &mut Reader<'_>, report: &mut Report) -> Option<Vec<String>> {
    let Some(value) = file.get("dpdk") else { return Some(Vec::new()) };
    let mut dpdk = value.table(&schema::DPDK, report)?;
    let value = dpdk.get("extra_args");
    dpdk.finish(report);
    let Some(value) = value else { return Some(Vec::new()) };
    value
        .array("strings", report)?
        .into_iter()
        .map(|item| item.parsed(argument, report).map(|argument| argument.value))
        .collect::<Vec<_>>()
        .into_iter()
        .collect()
}

/// An argument reaches C as a string that ends with a NUL.
fn argument(text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        Err(Fault::new("an argument is empty"))
    } else if text.contains(char::is_control) {
        Err(Fault::new("an argument contains a control character"))
    } else {
        Ok(text.to_owned())
    }
}

fn socket(file: &mut Reader<'_>, report: &mut Report) -> Option<PathBuf> {
    let Some(value) = file.get("api") else { return Some(DEFAULT_SOCKET.into()) };
    let mut api = value.table(&schema::API, report)?;
    let value = api.get("socket");
    api.finish(report);
    let Some(value) = value else { return Some(DEFAULT_SOCKET.into()) };
    value.parsed(socket_path, report).map(|path| path.value)
}

fn socket_path(text: &str) -> Result<PathBuf, Fault> {
    if !text.starts_with('/') || text.ends_with('/') {
        return Err(Fault::with_help(
            "needs the absolute path of a file",
            format!("write for example \"{DEFAULT_SOCKET}\""),
        ));
    }
    if text.contains(char::is_control) {
        return Err(Fault::new("the path contains a control character"));
    }
    if text.len() > SOCKET_LENGTH {
        return Err(Fault::new(format!(
            "a socket's path has at most {SOCKET_LENGTH} bytes, this one has {}",
            text.len()
        )));
    }
    Ok(text.into())
}

fn state(file: &mut Reader<'_>, report: &mut Report) -> Option<StateDraft> {
    let default = StateDraft { table_memory: Some(TABLE_MEMORY), pins: Some(PINS), arm_time: Some(ARM_TIME) };
    let Some(value) = file.get("state") else { return Some(default) };
    let mut state = value.table(&schema::STATE, report)?;
    let table_memory = match state.get("table_memory") {
        Some(value) => table_memory(value, report),
        None => default.table_memory,
    };
    let pins = match state.get("pins") {
        Some(value) => value.integer(FEWEST_PINS, MOST_PINS, report).map(|pins| pins.value as usize),
        None => default.pins,
    };
    let arm_time = match state.get("arm_time") {
        Some(value) => value.parsed(|text| scalar::duration_between(text, "0s", "60s"), report).map(|time| time.value),
        None => default.arm_time,
    };
    state.finish(report);
    Some(StateDraft { table_memory, pins, arm_time })
}

fn table_memory(value: Value<'_>, report: &mut Report) -> Option<u64> {
    let size = if value.is_integer() {
        value.integer(0, i64::MAX as u64, report)
    } else if value.as_str().is_some() {
        value.parsed(scalar::size, report)
    } else {
        value.wrong("a number of bytes, or a string such as \"512MiB\"", report)
    };
    size.map(|size| size.value)
}
