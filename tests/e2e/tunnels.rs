//! HTTP in every kind of tunnel, in both families inside and outside.

use crate::setup::{PATIENCE, Site, http, patient_checks};
use crate::transfer::{download, noise, post};
use anyhow::{Result, ensure};
use guideway_lab::config::table;
use guideway_lab::process::wait_for;
use guideway_lab::tunnel::Checksums;
use guideway_lab::{Analysis, Capture, Device, GuidewayConfig, LabOptions, address, runnable};
use std::collections::BTreeSet;
use std::net::IpAddr;
use toml::Value;

/// Answers to wait for.
const REQUESTS: u64 = 60;
/// Bytes that are posted.
const UPLOAD_BYTES: usize = 300_000;
/// What outer sources are taken from.
const SOURCES_V4: &str = "10.99.0.0/16";
const SOURCES_V6: &str = "fd99::/64";

/// A kind of tunnel: its `forward`, further keys, and whether its packets have an outer UDP checksum.
struct Kind {
    forward: &'static str,
    keys: &'static [(&'static str, Toggle)],
    checksum: Option<bool>,
}

#[derive(Clone, Copy)]
enum Toggle {
    Number(i64),
    Switch(bool),
}

impl From<Toggle> for Value {
    fn from(toggle: Toggle) -> Self {
        match toggle {
            Toggle::Number(number) => number.into(),
            Toggle::Switch(on) => on.into(),
        }
    }
}

const GRE: Kind = Kind { forward: "gre", keys: &[], checksum: None };
const GUE_0: Kind = Kind { forward: "gue", keys: &[("gue_variant", Toggle::Number(0))], checksum: Some(true) };
const GUE_1: Kind = Kind { forward: "gue", keys: &[("gue_variant", Toggle::Number(1))], checksum: Some(true) };
const GUE_0_BARE: Kind = Kind {
    forward: "gue",
    keys: &[("gue_variant", Toggle::Number(0)), ("udp_checksum", Toggle::Switch(false))],
    checksum: Some(false),
};
const GUE_1_BARE: Kind = Kind {
    forward: "gue",
    keys: &[("gue_variant", Toggle::Number(1)), ("udp_checksum", Toggle::Switch(false))],
    checksum: Some(false),
};

/// IPv4 and IPv6 inside of IPv4 (pool `outer4`) and of IPv6 (`outer6`).
const WAYS: [(IpAddr, bool); 4] = [
    (address::vip_v4(11), true),
    (address::vip_v6(11), true),
    (address::vip_v4(12), false),
    (address::vip_v6(12), false),
];

/// `sources`: whether outer sources come from a prefix.
fn site(kind: &Kind, device: Device, sources: bool) -> Result<Site> {
    Site::start(LabOptions::new(), |lab| {
        let mut config = GuidewayConfig::new(lab, device, &[1]).pool(lab, "outer4", kind.forward, false).pool(
            lab,
            "outer6",
            kind.forward,
            true,
        );
        for (pool, prefix) in config.pool.iter_mut().zip([SOURCES_V4, SOURCES_V6]) {
            pool.more.extend(kind.keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())));
            if sources {
                pool.more.extend(table([("encap_source", prefix.into())]));
            }
        }
        let pool = |outer_is_ipv4| if outer_is_ipv4 { "outer4" } else { "outer6" };
        patient_checks(WAYS.iter().fold(config, |config, (vip, outer)| config.vip(*vip, "tcp", 80, pool(*outer))))
    })
}

fn every_way(kind: &Kind, device: Device, sources: bool) -> Result<()> {
    let site = site(kind, device, sources)?;
    let upload = site.lab.folder().join("upload");
    std::fs::write(&upload, noise(UPLOAD_BYTES))?;
    for (vip, outer_is_ipv4) in WAYS {
        let target = http(vip);
        let file = site.lab.folder().join("way.pcap");
        let capture = Capture::start(site.lab.segment(), "gw", &file, "")?;
        let report = site.requests(target, REQUESTS)?;
        ensure!(report.by_backend.len() == 3, "{target}: {:?}", report.by_backend);
        download(&site, target)?;
        post(&site, target, &upload)?;
        let analysis = Analysis::new(&site.lab, capture.finish()?);
        ensure!(analysis.moves().is_empty(), "{target}: {:?}", analysis.moves());
        let sent: Vec<_> = analysis.sent().filter(|(_, packet)| packet.flow.destination == target).collect();
        ensure!(sent.len() > UPLOAD_BYTES / 1500, "{target}: the capture misses packets");
        let outer: Vec<_> = sent.iter().filter_map(|(_, packet)| packet.outer).collect();
        ensure!(outer.len() == sent.len(), "{target}: a packet in no tunnel");
        ensure!(outer.iter().all(|(_, to)| to.is_ipv4() == outer_is_ipv4), "{target}: another outer family");
        let flows: BTreeSet<_> = sent.iter().map(|(_, packet)| packet.flow).collect();
        let pairs: BTreeSet<_> = sent.iter().filter_map(|(_, packet)| Some((packet.flow, packet.outer?.0))).collect();
        ensure!(pairs.len() == flows.len(), "{target}: a flow with two outer sources");
        let from: BTreeSet<_> = pairs.iter().map(|(_, from)| *from).collect();
        outer_sources_are_right(&from, flows.len(), sources)?;
    }
    checksums_are_right(&site, kind.checksum)
}

/// One own address, or nearly as many as flows in the prefix.
fn outer_sources_are_right(from: &BTreeSet<IpAddr>, flows: usize, sources: bool) -> Result<()> {
    if !sources {
        let own: [IpAddr; 2] = [address::BALANCER_V4.into(), address::BALANCER_V6.into()];
        ensure!(from.len() == 1 && from.iter().all(|from| own.contains(from)), "{from:?}");
        return Ok(());
    }
    let within = |from: &IpAddr| match from {
        IpAddr::V4(from) => from.octets().starts_with(&[10, 99]),
        IpAddr::V6(from) => from.segments().starts_with(&[0xfd99, 0, 0, 0]),
    };
    ensure!(from.iter().all(within), "outside of the prefix: {from:?}");
    // 16 bits: of a hundred flows few share a value.
    ensure!(from.len() * 10 > flows * 9, "{} sources for {flows} flows", from.len());
    Ok(())
}

/// The backends' peers verified every packet.
fn checksums_are_right(site: &Site, expected: Option<bool>) -> Result<()> {
    for decap in &site.decaps {
        let enough = |seen: &Checksums| match expected {
            Some(true) => seen.good > REQUESTS,
            Some(false) => seen.zero > REQUESTS,
            None => true,
        };
        let seen =
            wait_for("the peer to tell what it saw", PATIENCE, || Ok(Some(Checksums::of(decap)?).filter(enough)))?;
        ensure!(seen.bad == 0, "wrong outer checksums: {seen:?}");
        ensure!(seen.good == 0 || expected == Some(true), "an outer checksum where none should be: {seen:?}");
        ensure!(seen.zero == 0 || expected == Some(false), "no outer checksum: {seen:?}");
    }
    Ok(())
}

#[test]
fn gre_over_af_xdp() -> Result<()> {
    if !runnable("GRE over af_xdp") {
        return Ok(());
    }
    every_way(&GRE, Device::AfXdp, false)
}

#[test]
fn gre_over_af_packet_with_a_prefix_of_sources() -> Result<()> {
    if !runnable("GRE over af_packet") {
        return Ok(());
    }
    every_way(&GRE, Device::AfPacket, true)
}

#[test]
fn gue_variant_0() -> Result<()> {
    if !runnable("GUE variant 0") {
        return Ok(());
    }
    every_way(&GUE_0, Device::AfXdp, true)
}

#[test]
fn gue_variant_1() -> Result<()> {
    if !runnable("GUE variant 1") {
        return Ok(());
    }
    every_way(&GUE_1, Device::AfXdp, false)
}

#[test]
fn gue_variant_0_without_checksum() -> Result<()> {
    if !runnable("GUE variant 0 without checksum") {
        return Ok(());
    }
    every_way(&GUE_0_BARE, Device::AfPacket, false)
}

#[test]
fn gue_variant_1_without_checksum() -> Result<()> {
    if !runnable("GUE variant 1 without checksum") {
        return Ok(());
    }
    every_way(&GUE_1_BARE, Device::AfXdp, true)
}
