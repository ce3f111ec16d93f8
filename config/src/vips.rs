//! `[[vip]]`: virtual addresses and what they match.

use crate::addresses::{self, Lengths};
use crate::display::Service;
use crate::model::{Affinity, Announce, PortMatch, Protocol};
use crate::names::quote;
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::scalar;
use ipnet::IpNet;
use std::time::Duration;

/// Lengths of a prefix of virtual addresses.
const LENGTHS: Lengths = Lengths { v4: 8..=32, v6: 16..=128 };

/// `affinity_window` unless configured.
const AFFINITY_WINDOW: Duration = Duration::from_secs(900);

pub(crate) struct VipDraft {
    pub(crate) at: usize,
    pub(crate) address: Option<Located<IpNet>>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) port: Option<Located<PortMatch>>,
    pub(crate) pool: Option<Located<String>>,
    /// Where it is written; its table where it is not.
    pub(crate) affinity: Option<Located<Affinity>>,
    /// `Some(None)`: none.
    pub(crate) affinity_window: Option<Option<Duration>>,
    pub(crate) announce: Option<Announce>,
}

impl VipDraft {
    /// Whether its address is IPv4; `None` if it was refused.
    pub(crate) fn is_ipv4(&self) -> Option<bool> {
        self.address.map(|address| address.value.addr().is_ipv4())
    }

    /// The VIP in a message.
    pub(crate) fn called(&self) -> String {
        match (self.address, self.port, self.protocol) {
            (Some(Located { value: address, .. }), Some(Located { value: port, .. }), Some(protocol)) => {
                format!("the VIP {}", Service { address, port, protocol })
            }
            _ => "a VIP".to_owned(),
        }
    }
}

/// An address or a prefix in messages: without its length where that is the full one.
pub(crate) fn shown(block: IpNet) -> String {
    if is_single(block) { block.addr().to_string() } else { block.to_string() }
}

/// Whether a block is one address.
pub(crate) fn is_single(block: IpNet) -> bool {
    block.prefix_len() == block.max_prefix_len()
}

/// Reads one VIP.
pub(crate) fn read(mut vip: Reader<'_>, report: &mut Report) -> VipDraft {
    let address =
        vip.need("address", report).and_then(|value| value.parsed(|text| addresses::block(text, &LENGTHS), report));
    let protocol = vip.need("protocol", report).and_then(|value| {
        value.word(&[("tcp", Ok(Protocol::Tcp)), ("udp", Ok(Protocol::Udp)), ("quic", Ok(Protocol::Quic))], report)
    });
    let port = vip.need("port", report).and_then(|value| port(value, report));
    let pool = vip.need("pool", report).and_then(|value| value.string(report)).map(|pool| pool.map(str::to_owned));
    let protocol = protocol.map(|protocol| protocol.value);
    let affinity = affinity(&mut vip, protocol, report);
    let affinity_window = affinity_window(&mut vip, affinity, report);
    let announce = match vip.get("announce") {
        Some(value) => {
            let words = [("auto", Ok(Announce::Auto)), ("arp", Ok(Announce::Arp)), ("none", Ok(Announce::None))];
            value.word(&words, report).map(|announce| announce.value)
        }
        None => Some(Announce::Auto),
    };
    let at = vip.at;
    vip.finish(report);
    VipDraft { at, address, protocol, port, pool, affinity, affinity_window, announce }
}

fn affinity(vip: &mut Reader<'_>, protocol: Option<Protocol>, report: &mut Report) -> Option<Located<Affinity>> {
    let Some(value) = vip.get("affinity") else { return Some(Located { at: vip.at, value: Affinity::None }) };
    let affinity = value.word(&[("none", Ok(Affinity::None)), ("client", Ok(Affinity::Client))], report)?;
    if protocol == Some(Protocol::Quic) && affinity.value == Affinity::Client {
        report
            .error(affinity.at, "affinity = \"client\" has no meaning with protocol = \"quic\"")
            .help("remove it; connections are known by their connection IDs, whatever the client's address is");
        return None;
    }
    Some(affinity)
}

fn affinity_window(
    vip: &mut Reader<'_>,
    affinity: Option<Located<Affinity>>,
    report: &mut Report,
) -> Option<Option<Duration>> {
    let none = affinity.is_some_and(|affinity| affinity.value == Affinity::None);
    match vip.get("affinity_window") {
        Some(value) if none => {
            report
                .error(value.at, "`affinity_window` has no meaning with affinity = \"none\"")
                .help("set affinity = \"client\", or remove it");
            None
        }
        Some(value) => value.parsed(scalar::idle_time, report).map(|window| Some(window.value)),
        None => Some((!none).then_some(AFFINITY_WINDOW)),
    }
}

fn port(value: Value<'_>, report: &mut Report) -> Option<Located<PortMatch>> {
    if value.is_integer() {
        return value.integer(1, 65535, report).map(|port| port.map(|port| PortMatch::Exact(port as u16)));
    }
    let Some(text) = value.as_str() else {
        return value.wrong("a port number, a range such as \"8000-8099\", or \"any\"", report);
    };
    let at = value.at;
    if text == "any" {
        return Some(Located { at, value: PortMatch::Any });
    }
    if let Some((first, last)) = text.split_once('-').and_then(|(first, last)| number(first).zip(number(last))) {
        return range(at, text, first, last, report).map(|value| Located { at, value });
    }
    let message =
        format!("`port` must be a port number, a range such as \"8000-8099\", or \"any\", not {}", quote(text));
    let finding = report.error(at, message);
    if number(text).is_some() {
        finding.help(format!("write {text} without quotes"));
    }
    None
}

/// A decimal number, whatever its size: what does not fit counts as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn range(at: usize, text: &str, first: u64, last: u64, report: &mut Report) -> Option<PortMatch> {
    let port = |number: u64| u16::try_from(number).ok().filter(|&port| port > 0);
    let (Some(low), Some(high)) = (port(first), port(last)) else {
        report.error(at, format!("`port`: the range {} is not within 1 to 65535", quote(text)));
        return None;
    };
    if low < high {
        return Some(PortMatch::Range(low, high));
    }
    let finding = report.error(at, format!("`port`: the range {} must begin below its end", quote(text)));
    if low == high {
        finding.help(format!("write {low} without quotes"));
    } else {
        finding.help(format!("write \"{high}-{low}\""));
    }
    None
}
