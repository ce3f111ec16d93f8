//! `[exception]`: frames of a port that the kernel gets, and sends, by a TAP device.

use crate::names::quote;
use crate::ports::PortDraft;
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::scalar::Fault;
use crate::schema;
use std::collections::HashMap;

/// Before a port's name in the name of its TAP device.
const PREFIX: &str = "gw-";
/// Longest name of a network device in bytes: IFNAMSIZ of Linux, less the closing NUL.
const DEVICE_LENGTH: usize = 15;
/// Packets a second.
const RATE: u32 = 20_000;
const LOWEST_RATE: u64 = 100;
const HIGHEST_RATE: u64 = 10_000_000;

pub(crate) struct ExceptionDraft {
    /// `Some(None)`: all ports.
    pub(crate) ports: Option<Option<Vec<Located<String>>>>,
    /// Where it is written; its table where it is not.
    pub(crate) prefix: Option<Located<String>>,
    pub(crate) rate: Option<u32>,
}

impl ExceptionDraft {
    /// Ports and names of their TAP devices, for `ports` with these indices.
    pub(crate) fn taps(&self, indices: &[Option<usize>], ports: &[PortDraft]) -> Option<Vec<(usize, String)>> {
        let prefix = &self.prefix.as_ref()?.value;
        let tap = |&index: &Option<usize>| {
            let index = index?;
            let name = &ports.get(index)?.name.as_ref()?.value;
            Some((index, format!("{prefix}{name}")))
        };
        indices.iter().map(tap).collect()
    }
}

/// Reads `[exception]`.
pub(crate) fn read(value: Value<'_>, report: &mut Report) -> Option<ExceptionDraft> {
    let mut exception: Reader<'_> = value.table(&schema::EXCEPTION, report)?;
    let ports = match exception.get("ports") {
        Some(value) => names(value, report).map(Some),
        None => Some(None),
    };
    let prefix = match exception.get("prefix") {
        Some(value) => value.parsed(device_part, report),
        None => Some(Located { at: exception.at, value: PREFIX.to_owned() }),
    };
    let rate = match exception.get("rate") {
        Some(value) => value.integer(LOWEST_RATE, HIGHEST_RATE, report).map(|rate| rate.value as u32),
        None => Some(RATE),
    };
    exception.finish(report);
    Some(ExceptionDraft { ports, prefix, rate })
}

/// The names of ports, each once.
fn names(value: Value<'_>, report: &mut Report) -> Option<Vec<Located<String>>> {
    let items = value.array("port names", report)?;
    if items.is_empty() {
        report.error(value.at, "`ports` is empty").help("remove it for all ports, or remove [exception]");
        return None;
    }
    let names: Vec<_> = items.into_iter().map(|item| item.string(report)).collect();
    let names = names.into_iter().collect::<Option<Vec<_>>>()?;
    let mut first = HashMap::new();
    let mut distinct = true;
    for name in &names {
        if let Some(&at) = first.get(name.value) {
            report
                .error(name.at, format!("the port {} is listed twice", quote(name.value)))
                .related(at, "first listed");
            distinct = false;
        } else {
            first.insert(name.value, name.at);
        }
    }
    distinct.then(|| names.into_iter().map(|name| name.map(str::to_owned)).collect())
}

/// Part of a network device's name. Linux refuses `/`, `:` and white space, and takes `%` for a pattern.
fn device_part(text: &str) -> Result<String, Fault> {
    match text.chars().find(|&c| !allowed(c)) {
        None => Ok(text.to_owned()),
        Some(bad) => {
            let message = format!("{} contains '{}'", quote(text), bad.escape_debug());
            Err(Fault::with_help(message, "use what a network device's name may hold, for example \"gw-\""))
        }
    }
}

fn allowed(c: char) -> bool {
    c.is_ascii_graphic() && !"/:%".contains(c)
}

/// Checks the names of the TAP devices.
pub(crate) fn check(exception: &ExceptionDraft, indices: &[Option<usize>], ports: &[PortDraft], report: &mut Report) {
    let Some(prefix) = &exception.prefix else { return };
    let devices = ports.iter().filter_map(|port| port.device.as_ref());
    let ifaces: HashMap<&str, usize> =
        devices.filter_map(|device| Some((device.value.iface.as_deref()?, device.at))).collect();
    for name in indices.iter().flatten().filter_map(|&index| ports.get(index)?.name.as_ref()) {
        let tap = format!("{}{}", prefix.value, name.value);
        let called = format!("the TAP device {} of port {}", quote(&tap), quote(&name.value));
        if tap.len() > DEVICE_LENGTH {
            report
                .error(prefix.at, format!("{called} has {} bytes, and a name has at most {DEVICE_LENGTH}", tap.len()))
                .related(name.at, "port")
                .help("shorten `prefix` or the port's name");
        } else if let Some(bad) = tap.chars().find(|&c| !allowed(c)) {
            report
                .error(prefix.at, format!("{called} contains '{}'", bad.escape_debug()))
                .related(name.at, "port")
                .help("give the port another name");
        } else if tap == "." || tap == ".." {
            report.error(prefix.at, format!("{called} has a name that Linux refuses")).related(name.at, "port");
        } else if let Some(&at) = ifaces.get(tap.as_str()) {
            report
                .error(prefix.at, format!("{called} is the interface of a port's device"))
                .related(at, "device")
                .help("choose another `prefix`");
        }
    }
}
