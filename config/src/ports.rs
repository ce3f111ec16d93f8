//! `[[port]]`: devices and the workers that poll them.

use crate::cores::{CoresDraft, HIGHEST_CORE, distinct};
use crate::names::quote;
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::scalar::{self, Fault};
use std::collections::HashMap;

/// Smallest MTU: every IPv4 link carries 68 bytes (RFC 791, section 3.2).
const LOWEST_MTU: u64 = 68;
/// Smallest MTU of a link that carries IPv6 (RFC 8200, section 5).
pub(crate) const LOWEST_MTU_V6: u16 = 1280;
/// Largest MTU: the jumbo frames that common NICs take.
pub(crate) const HIGHEST_MTU: u64 = 9600;
/// MTU of Ethernet (RFC 894).
const MTU: u16 = 1500;

pub(crate) struct PortDraft {
    pub(crate) at: usize,
    pub(crate) name: Option<Located<String>>,
    pub(crate) device: Option<Located<Device>>,
    pub(crate) mtu: Option<Located<u16>>,
    /// Indices into the workers of `[cores]`.
    pub(crate) workers: Option<Vec<usize>>,
}

/// A device as DPDK knows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// As written.
    pub(crate) text: String,
    /// The PCI address in small letters, or the virtual device's name.
    pub(crate) name: String,
    /// The kernel's interface that a virtual device sits on.
    pub(crate) iface: Option<String>,
}

/// Reads one port.
pub(crate) fn read(mut port: Reader<'_>, cores: Option<&CoresDraft>, report: &mut Report) -> PortDraft {
    let name = port.need("name", report).and_then(|value| value.parsed(scalar::name, report));
    // A bond stands in place of a device, and is refused by its own name.
    let device = if port.has("bond") { port.get("device") } else { port.need("device", report) };
    let device = device.and_then(|value| value.parsed(device_name, report));
    let mtu = match port.get("mtu") {
        Some(value) => value.integer(LOWEST_MTU, HIGHEST_MTU, report).map(|mtu| mtu.map(|mtu| mtu as u16)),
        None => Some(Located { at: port.at, value: MTU }),
    };
    let all = cores.and_then(|cores| cores.workers.as_deref());
    let workers = match (port.get("workers"), all) {
        (Some(value), all) => workers(value, all, report),
        (None, all) => all.map(|all| (0..all.len()).collect()),
    };
    let at = port.at;
    port.finish(report);
    PortDraft { at, name, device, mtu, workers }
}

/// The indices of the cores that a port names.
fn workers(value: Value<'_>, all: Option<&[Located<usize>]>, report: &mut Report) -> Option<Vec<usize>> {
    let items = value.array("core numbers", report)?;
    if items.is_empty() {
        report.error(value.at, "`workers` is empty: nobody would poll this port").help("remove it for all workers");
        return None;
    }
    let cores: Vec<_> = items
        .into_iter()
        .map(|item| item.integer(0, HIGHEST_CORE, report).map(|core| core.map(|core| core as usize)))
        .collect();
    let cores = cores.into_iter().collect::<Option<Vec<_>>>()?;
    let all = all?;
    let mut indices = distinct(&cores, report).then(Vec::new);
    for core in &cores {
        let index = all.iter().position(|worker| worker.value == core.value);
        if index.is_none() {
            let finding = report.error(core.at, format!("core {} is not a worker", core.value));
            finding.help("a port's `workers` are some of the cores of [cores] workers");
        }
        indices = indices.zip(index).map(|(mut indices, index)| {
            indices.push(index);
            indices
        });
    }
    indices
}

/// A PCI address, or the name of a virtual network device with its arguments.
fn device_name(text: &str) -> Result<Device, Fault> {
    let help =
        "use a PCI address such as \"0000:3b:00.0\" or a DPDK virtual device such as \"net_af_packet0,iface=eth1\"";
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Fault::with_help(format!("{} contains a space or a control character", quote(text)), help));
    }
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default();
    if is_pci(name) {
        if name.len() != text.len() {
            return Err(Fault::with_help("a PCI address takes no arguments here", format!("write \"{name}\"")));
        }
        return Ok(Device { text: text.to_owned(), name: text.to_ascii_lowercase(), iface: None });
    }
    if is_pci(&format!("0000:{name}")) {
        return Err(Fault::with_help("a PCI address starts with its domain", format!("write \"0000:{name}\"")));
    }
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with("net_") || !name.chars().all(known) {
        return Err(Fault::with_help(format!("{} is not a device", quote(text)), help));
    }
    let mut iface = None;
    for argument in parts {
        if argument.is_empty() {
            return Err(Fault::new(format!("{} has an empty argument", quote(text))));
        }
        if let Some(name) = argument.strip_prefix("iface=") {
            iface = Some(name.to_owned());
        }
    }
    if iface.as_deref() == Some("") {
        return Err(Fault::new(format!("{} names no interface after iface=", quote(text))));
    }
    Ok(Device { text: text.to_owned(), name: name.to_owned(), iface })
}

/// `dddd:bb:dd.f` in hexadecimal: domain, bus, device up to 1f, function up to 7.
fn is_pci(text: &str) -> bool {
    let field = |text: &str, digits: usize, highest: u32| {
        text.len() == digits
            && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            && u32::from_str_radix(text, 16).is_ok_and(|number| number <= highest)
    };
    let mut parts = text.split([':', '.']);
    let mut next = || parts.next().unwrap_or_default();
    let fields = [field(next(), 4, 0xffff), field(next(), 2, 0xff), field(next(), 2, 0x1f), field(next(), 1, 7)];
    parts.next().is_none()
        && fields == [true; 4]
        && text.as_bytes().get(10) == Some(&b'.')
        && text.as_bytes().get(7) == Some(&b':')
}

/// Reports ports that share a device.
pub(crate) fn check_devices(ports: &[PortDraft], report: &mut Report) {
    let mut names = HashMap::new();
    let mut ifaces = HashMap::new();
    for device in ports.iter().filter_map(|port| port.device.as_ref()) {
        let shared = if let Some(&at) = names.get(&device.value.name) {
            Some((format!("the device {} belongs to another port", quote(&device.value.name)), at))
        } else if let Some(&at) = device.value.iface.as_ref().and_then(|iface| ifaces.get(iface)) {
            let iface = device.value.iface.as_deref().unwrap_or_default();
            Some((format!("the interface {} belongs to another port's device", quote(iface)), at))
        } else {
            None
        };
        if let Some((message, at)) = shared {
            report.error(device.at, message).related(at, "first used").help("two ports cannot share a device");
        }
        names.entry(&device.value.name).or_insert(device.at);
        if let Some(iface) = &device.value.iface {
            ifaces.entry(iface).or_insert(device.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for good in [
            "0000:3b:00.0",
            "0000:3B:1f.7",
            "net_af_packet0,iface=gw0",
            "net_af_xdp1,iface=eth0,start_queue=2",
            "net_null0",
        ] {
            assert_eq!(device_name(good).map(|device| device.text), Ok(good.to_owned()));
        }
        let bad = [
            "",
            "eth0",
            "3b:00.0",
            "0000:3b:00.8",
            "0000:3b:20.0",
            "0000:3b:00:0",
            "0000.3b.00.0",
            "0000:3b:00.0,x=1",
            "net_af_packet0, iface=gw0",
            "net_af_packet0,",
            "net_af_packet0,iface=",
            "net_AF0",
        ];
        for text in bad {
            assert!(device_name(text).is_err(), "{text}");
        }
    }
}
