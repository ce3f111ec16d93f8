//! What a pool says of rewritten addresses: their sources, and how backends learn the client's.

use crate::addresses;
use crate::backends::BackendDraft;
use crate::cross::{Around, family};
use crate::model::{Forward, Protocol, Proxy, ProxyTlvs, ProxyVersion};
use crate::pools::PoolDraft;
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::vips::VipDraft;
use std::net::IpAddr;

/// Sources of one pool: each costs memory for its ports at every worker.
const MOST_SOURCES: usize = 256;

pub(crate) struct NatDraft {
    /// `Some(None)`: none.
    pub(crate) proxy: Option<Option<Located<Proxy>>>,
    /// Empty: the own address on the way.
    pub(crate) sources: Option<Vec<Located<IpAddr>>>,
}

/// Reads the keys out of a pool that forwards by `forward`.
pub(crate) fn read(pool: &mut Reader<'_>, forward: Option<Forward>, report: &mut Report) -> NatDraft {
    let proxy = version(pool, forward, report);
    let tlvs = pool.get("proxy_tlvs");
    let proxy = match (proxy, tlvs) {
        (Some(Some(proxy)), Some(value)) => {
            tlvs_of(proxy.value, value, report).map(|proxy_with| Some(Located { at: proxy.at, value: proxy_with }))
        }
        (Some(None), Some(value)) => {
            report
                .error(value.at, "`proxy_tlvs` has no meaning without `proxy_protocol`")
                .help("add proxy_protocol = \"v2\", or remove it");
            None
        }
        (proxy, _) => proxy,
    };
    let proxy = match (proxy, pool.get("proxy_datagrams")) {
        (Some(Some(proxy)), Some(value)) => {
            let words = [("each", Ok(false)), ("first", Ok(true))];
            let first = value.word(&words, report);
            first.map(|first| Some(proxy.map(|proxy| Proxy { first_datagram: first.value, ..proxy })))
        }
        (Some(None), Some(value)) => {
            report
                .error(value.at, "`proxy_datagrams` has no meaning without `proxy_protocol`")
                .help("add proxy_protocol = \"v2\", or remove it");
            None
        }
        (proxy, _) => proxy,
    };
    let is_fullnat = forward.is_none_or(|forward| forward == Forward::Fullnat);
    let sources = match pool.key("source_addresses", forward, is_fullnat, report) {
        Some(value) => sources(value, report),
        None => Some(Vec::new()),
    };
    NatDraft { proxy, sources }
}

fn version(pool: &mut Reader<'_>, forward: Option<Forward>, report: &mut Report) -> Option<Option<Located<Proxy>>> {
    let Some(value) = pool.get("proxy_protocol") else { return Some(None) };
    if let Some(forward) = forward.filter(|forward| !forward.is_nat()) {
        report
            .error(value.at, format!("`proxy_protocol` has no meaning with forward = \"{forward}\""))
            .help("remove it: backends see the client's address anyway, since the mode does not rewrite it");
        return None;
    }
    let words = [("v1", Ok(ProxyVersion::V1)), ("v2", Ok(ProxyVersion::V2))];
    let version = value.word(&words, report)?;
    Some(Some(version.map(|version| Proxy { version, tlvs: ProxyTlvs::default(), first_datagram: false })))
}

fn tlvs_of(proxy: Proxy, value: Value<'_>, report: &mut Report) -> Option<Proxy> {
    let entries = value.array("strings", report)?;
    if proxy.version == ProxyVersion::V1 && !entries.is_empty() {
        report.error(value.at, "version 1 of the PROXY protocol has no TLVs").help("set proxy_protocol = \"v2\"");
        return None;
    }
    let mut tlvs = ProxyTlvs::default();
    for entry in entries {
        let words = [
            ("crc32c", Ok(ProxyTlvs { crc32c: true, ..ProxyTlvs::default() })),
            ("unique_id", Ok(ProxyTlvs { unique_id: true, ..ProxyTlvs::default() })),
            ("vip", Ok(ProxyTlvs { vip: true, ..ProxyTlvs::default() })),
        ];
        tlvs = tlvs.with(entry.word(&words, report)?.value);
    }
    Some(Proxy { tlvs, ..proxy })
}

fn sources(value: Value<'_>, report: &mut Report) -> Option<Vec<Located<IpAddr>>> {
    let items = value.array("addresses", report)?;
    if items.is_empty() {
        report.error(value.at, "`source_addresses` is empty").help("list addresses, or remove it");
        return None;
    }
    if items.len() > MOST_SOURCES {
        let count = items.len();
        report.error(value.at, format!("a pool has at most {MOST_SOURCES} source addresses, this one {count}"));
        return None;
    }
    let read: Vec<_> = items.into_iter().map(|item| item.parsed(addresses::address, report)).collect();
    let sources = read.into_iter().collect::<Option<Vec<_>>>()?;
    for (place, source) in sources.iter().enumerate() {
        if let Some(first) = sources[..place].iter().find(|first| first.value == source.value) {
            report
                .error(source.at, format!("the source address {} is given twice", source.value))
                .related(first.at, "first given");
        }
    }
    Some(sources)
}

/// Checks the ports of backends: only these modes rewrite them.
pub(crate) fn check_ports(forward: Option<Forward>, backends: &[BackendDraft], report: &mut Report) {
    let Some(forward) = forward.filter(|forward| !forward.is_nat()) else { return };
    for port in backends.iter().filter_map(|backend| backend.port.flatten()) {
        report
            .error(port.at, format!("`port` of a backend has no meaning with forward = \"{forward}\""))
            .help("remove it: the mode does not rewrite ports; backends listen where the VIP does");
    }
}

impl Around<'_> {
    /// Checks the sources and the VIPs of a pool that rewrites addresses.
    pub(crate) fn nat(&self, pool: &PoolDraft, vips: &[&VipDraft], report: &mut Report) {
        self.reachable(pool, report);
        let quic = vips.iter().find(|vip| vip.protocol == Some(Protocol::Quic));
        if let (Some(vip), Some(forward)) = (quic, pool.forward) {
            report
                .error(vip.at, format!("{} is a QUIC VIP and its pool has forward = \"{forward}\"", vip.called()))
                .help("set protocol = \"udp\": a session follows the client's address, not the connection ID");
        }
        if pool.forward == Some(Forward::Nat) {
            self.keeps_family(pool, vips, report);
        }
        let text = pool.nat.proxy.flatten().filter(|proxy| proxy.value.version == ProxyVersion::V1);
        let udp = vips.iter().find(|vip| vip.protocol == Some(Protocol::Udp));
        if let (Some(proxy), Some(vip)) = (text, udp) {
            report
                .error(proxy.at, "version 1 of the PROXY protocol knows TCP only")
                .related(vip.at, "UDP VIP")
                .help("set proxy_protocol = \"v2\"");
        }
        self.nat_sources(pool, report);
    }

    /// With the client's own address as source a packet stays of the client's family.
    fn keeps_family(&self, pool: &PoolDraft, vips: &[&VipDraft], report: &mut Report) {
        let vip = vips.iter().filter_map(|vip| vip.address).map(|address| address.map(|block| block.addr()));
        for vip in vip {
            let is_other = |backend: &Located<IpAddr>| backend.value.is_ipv4() != vip.value.is_ipv4();
            let other = pool.backends.iter().filter_map(|backend| backend.address).find(is_other);
            if let Some(backend) = other {
                report
                    .error(backend.at, format!("the nat backend {} is of another family than its VIP", backend.value))
                    .related(vip.at, "VIP")
                    .help("use a backend address of the VIP's family, or forward = \"fullnat\"");
                return;
            }
        }
    }

    fn nat_sources(&self, pool: &PoolDraft, report: &mut Report) {
        let Some(sources) = pool.nat.sources.as_ref().filter(|sources| !sources.is_empty()) else { return };
        for source in sources {
            if let Some((what, at)) = self.vips.holds(source.value) {
                report
                    .error(source.at, format!("the source address {} is {what}", source.value))
                    .related(at, "defined")
                    .help("answers to a VIP are taken for packets of clients: use an address of its own");
            }
            let taken = self.draft.backends().filter_map(|backend| backend.address);
            if let Some(backend) = taken.into_iter().find(|address| address.value == source.value) {
                report
                    .error(source.at, format!("the source address {} is a backend's", source.value))
                    .related(backend.at, "backend");
            }
            if self.ways.addresses_complete && !self.ways.is_connected(source.value) {
                report
                    .warning(source.at, format!("the source address {} is in no interface's subnet", source.value))
                    .help("backends must have a route to it that leads here: nobody answers ARP or NDP for it");
            }
        }
        let backends = pool.backends.iter().filter_map(|backend| backend.address);
        let lacking = backends.into_iter().find(|backend| {
            let same = |source: &Located<IpAddr>| source.value.is_ipv4() == backend.value.is_ipv4();
            !sources.iter().any(same)
        });
        if let Some(backend) = lacking {
            let family = family(backend.value);
            report
                .error(backend.at, format!("no source address of {} is {family}, as this backend", pool.called()))
                .related(sources[0].at, "sources")
                .help(format!("add an {family} address to `source_addresses`"));
        }
    }
}
