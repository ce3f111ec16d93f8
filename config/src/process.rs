//! `[fleet]`, `[dpdk]`, `[api]` and `[state]`: what concerns the whole process.

use crate::model::{DEFAULT_SOCKET, Listen, SessionsFull};
use crate::reader::{Located, Reader, Value, Word};
use crate::report::Report;
use crate::scalar::{self, Fault};
use crate::schema;
use std::net::SocketAddr;
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

/// Sessions of a worker unless configured.
const SESSIONS: u32 = 1 << 18;
const FEWEST_SESSIONS: u64 = 1 << 10;
const MOST_SESSIONS: u64 = 1 << 25;
/// Percent of them that may be in their handshake unless configured.
const EMBRYONIC_SESSIONS: u8 = 25;
const SESSIONS_FULL: [Word<SessionsFull>; 2] = [("drop", Ok(SessionsFull::Drop)), ("evict", Ok(SessionsFull::Evict))];

/// New sessions a second of a worker unless configured: 12 MB for their ports.
const CONNECTION_RATE: u32 = 100_000;
const LOWEST_RATE: u64 = 1_000;
/// 1.2 GB.
const HIGHEST_RATE: u64 = 10_000_000;

pub(crate) struct ProcessDraft {
    pub(crate) hash_key: Option<[u8; 16]>,
    pub(crate) extra_args: Option<Vec<String>>,
    pub(crate) api: ApiDraft,
    pub(crate) state: Option<StateDraft>,
}

pub(crate) struct ApiDraft {
    pub(crate) socket: Option<PathBuf>,
    pub(crate) listen: Option<Option<Listen>>,
}

pub(crate) struct StateDraft {
    pub(crate) table_memory: Option<u64>,
    pub(crate) pins: Option<usize>,
    pub(crate) arm_time: Option<Duration>,
    pub(crate) file: Option<Option<PathBuf>>,
    pub(crate) sessions: Option<u32>,
    pub(crate) embryonic_sessions: Option<u8>,
    pub(crate) sessions_full: Option<SessionsFull>,
    pub(crate) connection_rate: Option<u32>,
}

/// Reads the four sections out of the file.
pub(crate) fn read(file: &mut Reader<'_>, report: &mut Report) -> ProcessDraft {
    ProcessDraft {
        hash_key: hash_key(file, report),
        extra_args: extra_args(file, report),
        api: api(file, report),
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

fn api(file: &mut Reader<'_>, report: &mut Report) -> ApiDraft {
    let default = ApiDraft { socket: Some(DEFAULT_SOCKET.into()), listen: Some(None) };
    let Some(value) = file.get("api") else { return default };
    let Some(mut api) = value.table(&schema::API, report) else { return ApiDraft { socket: None, listen: None } };
    let socket = match api.get("socket") {
        Some(value) => value.parsed(socket_path, report).map(|path| path.value),
        None => default.socket,
    };
    let listen = listen(&mut api, report);
    api.finish(report);
    ApiDraft { socket, listen }
}

/// `listen`, and which token it wants: nobody shall open the control to everybody by leaving something out.
fn listen(api: &mut Reader<'_>, report: &mut Report) -> Option<Option<Listen>> {
    let address = api.get("listen").map(|value| value.parsed(socket_address, report));
    let file = api.get("token_file").map(|value| (value.at, value.parsed(absolute_file, report)));
    let token = api.get("token").map(|value| (value.at, value.parsed(no_token, report)));
    let Some(address) = address else {
        for at in file.iter().map(|(at, _)| *at).chain(token.iter().map(|(at, _)| *at)) {
            report.error(at, "without `listen` nobody asks for a token").help("set `listen`, or remove this");
        }
        return Some(None);
    };
    let address = address?;
    match (file, token) {
        (Some(_), Some((at, _))) => {
            report.error(at, "`token_file` and `token` are both given").help("remove one of them");
            None
        }
        (Some((_, path)), None) => {
            path.map(|path| Some(Listen { address: address.value, token_file: Some(path.value) }))
        }
        (None, Some((_, token))) => {
            token?;
            if address.value.ip().is_loopback() {
                return Some(Some(Listen { address: address.value, token_file: None }));
            }
            report
                .error(address.at, format!("whoever reaches {} could control this process", address.value))
                .help("set `token_file`; only a loopback address may go without a token");
            None
        }
        (None, None) => {
            report
                .error(address.at, "whoever reaches this address could control this process")
                .help("set `token_file = \"/etc/guideway/token\"`; a loopback address may have `token = \"none\"`");
            None
        }
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, Fault> {
    let example = "write for example \"127.0.0.1:9400\" or \"[::1]:9400\"";
    text.parse().map_err(|_| Fault::with_help("needs an address and a port", example))
}

fn absolute_file(text: &str) -> Result<PathBuf, Fault> {
    if !text.starts_with('/') || text.ends_with('/') || text.contains(char::is_control) {
        return Err(Fault::new("needs the absolute path of a file"));
    }
    Ok(text.into())
}

fn no_token(text: &str) -> Result<(), Fault> {
    if text == "none" {
        return Ok(());
    }
    Err(Fault::with_help("a token has no place in this file, which others may read", "write it to a `token_file`"))
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
    let default = StateDraft {
        table_memory: Some(TABLE_MEMORY),
        pins: Some(PINS),
        arm_time: Some(ARM_TIME),
        file: Some(None),
        sessions: Some(SESSIONS),
        embryonic_sessions: Some(EMBRYONIC_SESSIONS),
        sessions_full: Some(SessionsFull::Drop),
        connection_rate: Some(CONNECTION_RATE),
    };
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
    let file = match state.get("file") {
        Some(value) => value.parsed(absolute_file, report).map(|path| Some(path.value)),
        None => default.file,
    };
    let sessions = match state.get("sessions") {
        Some(value) => value.integer(FEWEST_SESSIONS, MOST_SESSIONS, report).map(|sessions| sessions.value as u32),
        None => default.sessions,
    };
    let embryonic_sessions = match state.get("embryonic_sessions") {
        Some(value) => value.integer(1, 100, report).map(|percent| percent.value as u8),
        None => default.embryonic_sessions,
    };
    let sessions_full = match state.get("sessions_full") {
        Some(value) => value.word(&SESSIONS_FULL, report).map(|full| full.value),
        None => default.sessions_full,
    };
    let connection_rate = match state.get("connection_rate") {
        Some(value) => value.integer(LOWEST_RATE, HIGHEST_RATE, report).map(|rate| rate.value as u32),
        None => default.connection_rate,
    };
    state.finish(report);
    let of_file = StateDraft { table_memory, pins, arm_time, file, ..default };
    Some(StateDraft { sessions, embryonic_sessions, sessions_full, connection_rate, ..of_file })
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
