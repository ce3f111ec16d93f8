//! `[audit]`: what is written down of connections and of changes, and where.

use crate::model::{Audit, ConnectionLog, LogTarget};
use crate::reader::{Reader, Value, Word};
use crate::report::Report;
use crate::scalar::Fault;
use crate::schema::{self, Section};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Entries a second, all workers together.
const RATE: u32 = 10_000;
const HIGHEST_RATE: u64 = 1_000_000;
/// Datagrams of which one is told.
const DATAGRAM_SAMPLE: u32 = 1_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    File,
    Stdout,
    Syslog,
    Ipfix,
}

const TARGETS: [Word<To>; 4] =
    [("file", Ok(To::File)), ("stdout", Ok(To::Stdout)), ("syslog", Ok(To::Syslog)), ("ipfix", Ok(To::Ipfix))];

/// Reads `[audit]`.
pub(crate) fn read(value: Value<'_>, report: &mut Report) -> Option<Audit> {
    let mut audit = value.table(&schema::AUDIT, report)?;
    let connections = match audit.get("connections") {
        Some(value) => connections(value, report).map(Some),
        None => Some(None),
    };
    let changes = match audit.get("changes") {
        Some(value) => changes(value, report).map(Some),
        None => Some(None),
    };
    audit.finish(report);
    Some(Audit { connections: connections?, changes: changes? })
}

fn connections(value: Value<'_>, report: &mut Report) -> Option<ConnectionLog> {
    let mut log = value.table(&schema::CONNECTIONS, report)?;
    let to = target(&mut log, &schema::CONNECTIONS, &TARGETS, report);
    let mut number = |key, low, high, default: u32| match log.get(key) {
        Some(value) => value.integer(low, high, report).map(|number| number.value as u32),
        None => Some(default),
    };
    let most = u64::from(u32::MAX);
    let sample = number("sample", 1, most, 1);
    let datagram_sample = number("datagram_sample", 0, most, DATAGRAM_SAMPLE);
    let rate = number("rate", 1, HIGHEST_RATE, RATE);
    log.finish(report);
    Some(ConnectionLog { to: to?, sample: sample?, datagram_sample: datagram_sample?, rate: rate? })
}

fn changes(value: Value<'_>, report: &mut Report) -> Option<LogTarget> {
    let mut log = value.table(&schema::CHANGES, report)?;
    let to = target(&mut log, &schema::CHANGES, &TARGETS[..3], report);
    log.finish(report);
    to
}

/// Where to, and what belongs to that.
fn target(log: &mut Reader<'_>, section: &Section, words: &[Word<To>], report: &mut Report) -> Option<LogTarget> {
    let at = log.at;
    let to = log.need("to", report).and_then(|value| value.word(words, report));
    let path = log.get("path").map(|value| (value.at, value.parsed(file_path, report)));
    let address = log.get("address").map(|value| (value.at, value.parsed(socket_address, report)));
    let to = to?.value;
    let mut unused = |found: Option<usize>, key: &str, owner: &str| {
        if let Some(at) = found {
            report.error(at, format!("`{key}` of {} belongs to {owner}", section.title)).help("remove it");
        }
    };
    if to != To::File {
        unused(path.as_ref().map(|path| path.0), "path", "to = \"file\"");
    }
    if to != To::Syslog && to != To::Ipfix {
        unused(address.as_ref().map(|address| address.0), "address", "to = \"syslog\" and to = \"ipfix\"");
    }
    let mut lacks = |key: &str, example: &str| {
        let message = format!("{} lacks the key `{key}`", section.title);
        report.error(at, message).help(format!("write for example {key} = {example}"));
    };
    match (to, path, address) {
        (To::File, None, _) => {
            lacks("path", "\"/var/log/guideway/connections.json\"");
            None
        }
        (To::File, Some((_, path)), _) => Some(LogTarget::File(path?.value)),
        (To::Stdout, ..) => Some(LogTarget::Stdout),
        (To::Syslog, _, None) => Some(LogTarget::Syslog(None)),
        (To::Syslog, _, Some((_, address))) => Some(LogTarget::Syslog(Some(address?.value))),
        (To::Ipfix, _, None) => {
            lacks("address", "\"192.0.2.9:4739\"");
            None
        }
        (To::Ipfix, _, Some((_, address))) => Some(LogTarget::Ipfix(address?.value)),
    }
}

fn file_path(text: &str) -> Result<PathBuf, Fault> {
    if !text.starts_with('/') || text.ends_with('/') {
        let help = "write for example \"/var/log/guideway/connections.json\"";
        return Err(Fault::with_help("needs the absolute path of a file", help));
    }
    if text.contains(char::is_control) {
        return Err(Fault::new("the path contains a control character"));
    }
    Ok(text.into())
}

fn socket_address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        Fault::with_help(
            "needs an address and a UDP port",
            "write for example \"192.0.2.9:514\" or \"[2001:db8::9]:514\"",
        )
    })
}
