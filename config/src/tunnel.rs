//! What a pool says of its outer headers: their source, GUE, fragments.

use crate::addresses::{self, Lengths};
use crate::backends::BackendDraft;
use crate::model::{Forward, Gue};
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::vips::shown;
use ipnet::IpNet;

/// Lengths of a prefix of outer sources, whose host bits come from a flow's hash.
const LENGTHS: Lengths = Lengths { v4: 8..=32, v6: 32..=128 };

pub(crate) struct TunnelDraft {
    /// `Some(None)`: the own address on the way.
    pub(crate) encap_source: Option<Option<Located<IpNet>>>,
    pub(crate) gue: Option<Gue>,
    pub(crate) fragment_outer: Option<bool>,
}

/// Reads the keys out of a pool that forwards by `forward`.
pub(crate) fn read(pool: &mut Reader<'_>, forward: Option<Forward>, report: &mut Report) -> TunnelDraft {
    let tunnel = forward.is_none_or(Forward::is_tunnel);
    let encap_source = match pool.key("encap_source", forward, tunnel, report) {
        Some(value) => value.parsed(|text| addresses::block(text, &LENGTHS), report).map(Some),
        None => Some(None),
    };
    let fragment_outer = match pool.key("fragment_outer", forward, tunnel, report) {
        Some(value) => value.boolean(report),
        None => Some(false),
    };
    TunnelDraft { encap_source, gue: gue(pool, forward, report), fragment_outer }
}

fn gue(pool: &mut Reader<'_>, forward: Option<Forward>, report: &mut Report) -> Option<Gue> {
    let default = Gue::default();
    let gue = forward.is_none_or(|forward| forward == Forward::Gue);
    let port = match pool.key("gue_port", forward, gue, report) {
        Some(value) => value.integer(1, 65535, report).map(|port| port.value as u16),
        None => Some(default.port),
    };
    let variant = match pool.key("gue_variant", forward, gue, report) {
        Some(value) => value.integer(0, 1, report).map(|variant| variant.value as u8),
        None => Some(default.variant),
    };
    let checksum = match pool.key("udp_checksum", forward, gue, report) {
        Some(value) => value.boolean(report),
        None => Some(default.checksum),
    };
    Some(Gue { port: port?, variant: variant?, checksum: checksum? })
}

impl<'a> Reader<'a> {
    /// The value of a key, which is an error where the pool's mode has no use for it.
    pub(crate) fn key(
        &mut self,
        key: &'static str,
        forward: Option<Forward>,
        fits: bool,
        report: &mut Report,
    ) -> Option<Value<'a>> {
        let value = self.get(key)?;
        if let (Some(forward), false) = (forward, fits) {
            report.error(value.at, format!("`{key}` has no meaning with forward = \"{forward}\"")).help("remove it");
            return None;
        }
        Some(value)
    }
}

/// Checks the outer source against the backends, which the outer destination is one of.
pub(crate) fn check(tunnel: &TunnelDraft, backends: &[BackendDraft], report: &mut Report) {
    let Some(Some(source)) = tunnel.encap_source else { return };
    let is_ipv4 = source.value.addr().is_ipv4();
    let mut addresses = backends.iter().filter_map(|backend| backend.address);
    if let Some(other) = addresses.find(|address| address.value.is_ipv4() != is_ipv4) {
        let source_shown = shown(source.value);
        report
            .error(source.at, format!("`encap_source` {source_shown} is of another family than {}", other.value))
            .related(other.at, "backend")
            .help("remove it, and each backend gets the own address on its way");
    }
}
