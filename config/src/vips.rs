//! `[[vip]]`: virtual addresses and what they match.

use crate::addresses::{self, Lengths};
use crate::model::{Affinity, Announce, PortMatch, Protocol};
use crate::names::quote;
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use ipnet::IpNet;

/// Lengths of a prefix of virtual addresses.
const LENGTHS: Lengths = Lengths { v4: 8..=32, v6: 16..=128 };

pub(crate) struct VipDraft {
    pub(crate) at: usize,
    pub(crate) address: Option<Located<IpNet>>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) port: Option<Located<PortMatch>>,
    pub(crate) pool: Option<Located<String>>,
    pub(crate) affinity: Option<Affinity>,
    pub(crate) announce: Option<Announce>,
}

impl VipDraft {
    /// Whether its address is IPv4; `None` if it was refused.
    pub(crate) fn is_ipv4(&self) -> Option<bool> {
        self.address.map(|address| address.value.addr().is_ipv4())
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
    let affinity = match vip.get("affinity") {
        Some(value) => {
            let words = [("none", Ok(Affinity::None)), ("client", Ok(Affinity::Client))];
            value.word(&words, report).map(|affinity| affinity.value)
        }
        None => Some(Affinity::None),
    };
    let announce = match vip.get("announce") {
        Some(value) => {
            let words = [("auto", Ok(Announce::Auto)), ("arp", Ok(Announce::Arp)), ("none", Ok(Announce::None))];
            value.word(&words, report).map(|announce| announce.value)
        }
        None => Some(Announce::Auto),
    };
    let at = vip.at;
    vip.finish(report);
    VipDraft { at, address, protocol: protocol.map(|protocol| protocol.value), port, pool, affinity, announce }
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
