//! `[[vip]]`: virtual addresses and what they match.

use crate::interfaces::OwnAddresses;
use crate::model::{Announce, PortMatch, Protocol};
use crate::names::quote;
use crate::reader::{Located, Reader, Value, not_built};
use crate::report::Report;
use crate::scalar;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;

/// VIPs of a configuration.
const MOST_VIPS: usize = 16_384;

pub(crate) struct VipDraft {
    pub(crate) at: usize,
    pub(crate) address: Option<Located<IpAddr>>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) port: Option<PortMatch>,
    pub(crate) pool: Option<Located<String>>,
    pub(crate) announce: Option<Announce>,
}

/// Reads one VIP.
pub(crate) fn read(mut vip: Reader<'_>, report: &mut Report) -> VipDraft {
    let address = vip.need("address", report).and_then(|value| address(value, report));
    let protocol = vip.need("protocol", report).and_then(|value| {
        let quic = Err("use protocol = \"udp\"; connections then follow their addresses and ports");
        value.word(&[("tcp", Ok(Protocol::Tcp)), ("udp", Ok(Protocol::Udp)), ("quic", quic)], report)
    });
    let port = vip.need("port", report).and_then(|value| port(value, report));
    let pool = vip.need("pool", report).and_then(|value| value.string(report)).map(|pool| pool.map(str::to_owned));
    if let Some(affinity) = vip.get("affinity") {
        let client = Err("remove it; flows are spread by addresses and ports of both sides");
        affinity.word(&[("none", Ok(())), ("client", client)], report);
    }
    let announce = match vip.get("announce") {
        Some(value) => {
            let words = [("auto", Ok(Announce::Auto)), ("arp", Ok(Announce::Arp)), ("none", Ok(Announce::None))];
            value.word(&words, report).map(|announce| announce.value)
        }
        None => Some(Announce::Auto),
    };
    let at = vip.at;
    vip.finish(report);
    VipDraft { at, address, protocol: protocol.map(|protocol| protocol.value), port, pool, announce }
}

fn address(value: Value<'_>, report: &mut Report) -> Option<Located<IpAddr>> {
    if value.as_str().is_some_and(|text| text.contains('/') && text.parse::<IpNet>().is_ok()) {
        not_built(report, value.at, "a prefix as a VIP's `address`", "write one [[vip]] for each address");
        return None;
    }
    value.parsed(scalar::address, report)
}

fn port(value: Value<'_>, report: &mut Report) -> Option<PortMatch> {
    if value.is_integer() {
        return value.integer(1, 65535, report).map(|port| PortMatch::Exact(port.value as u16));
    }
    let Some(text) = value.as_str() else {
        return value.wrong("a port number or \"any\"", report);
    };
    if text == "any" {
        return Some(PortMatch::Any);
    }
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    if text.split_once('-').is_some_and(|(low, high)| is_number(low.trim()) && is_number(high.trim())) {
        not_built(report, value.at, "a range of ports", "write one [[vip]] for each port, or port = \"any\"");
        return None;
    }
    let finding = report.error(value.at, format!("`port` must be a port number or \"any\", not {}", quote(text)));
    if is_number(text) {
        finding.help(format!("write {text} without quotes"));
    }
    None
}

/// Checks the VIPs among themselves and against own addresses.
pub(crate) fn check(vips: &[VipDraft], own: &OwnAddresses, report: &mut Report) {
    if let Some(first) = vips.get(MOST_VIPS) {
        report.error(first.at, format!("a configuration holds at most {MOST_VIPS} VIPs, this one has {}", vips.len()));
    }
    let mut first = HashMap::new();
    for vip in vips {
        let Some(address) = vip.address else { continue };
        if let Some(&at) = own.get(&address.value) {
            report
                .error(address.at, format!("the VIP {} is an own address of an interface", address.value))
                .related(at, "given")
                .help("a VIP needs an address of its own");
        }
        let (Some(protocol), Some(port)) = (vip.protocol, vip.port) else { continue };
        if let Some(&at) = first.get(&(address.value, protocol, port)) {
            report
                .error(vip.at, format!("the VIP {} with this protocol and port is given twice", address.value))
                .related(at, "first defined");
        } else {
            first.insert((address.value, protocol, port), vip.at);
        }
    }
}

/// Where each address that a VIP has is first written.
pub(crate) fn addresses(vips: &[VipDraft]) -> HashMap<IpAddr, usize> {
    let mut first = HashMap::new();
    for address in vips.iter().filter_map(|vip| vip.address) {
        first.entry(address.value).or_insert(address.at);
    }
    first
}
