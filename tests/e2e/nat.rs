//! Pools that rewrite addresses, over real kernels: whom backends see, and that every byte arrives.

use crate::setup::{Site, http, patient_checks, with_port};
use crate::transfer::{download, noise, post};
use anyhow::{Context, Result};
use guideway_lab::nginx::PROXIED_PORT;
use guideway_lab::{Device, GuidewayConfig, Lab, LabOptions, address, runnable};
use std::net::{IpAddr, SocketAddr};
use toml::Value;

/// Answers to wait for: enough that a backend without any would be no accident.
const REQUESTS: u64 = 90;
/// Bytes that are posted.
const UPLOAD_BYTES: usize = 300_000;

/// A VIP and its pool.
struct Way {
    vip: IpAddr,
    pool: &'static str,
}

/// All four combinations of families.
const WAYS: [Way; 4] = [
    Way { vip: address::vip_v4(10), pool: "full4" },
    Way { vip: address::vip_v6(10), pool: "full6" },
    Way { vip: address::vip_v4(11), pool: "full6" },
    Way { vip: address::vip_v6(11), pool: "full4" },
];

fn fullnat(lab: &Lab, workers: &[u32]) -> GuidewayConfig {
    let pools = GuidewayConfig::new(lab, Device::AfPacket, workers)
        .pool(lab, "full4", "fullnat", false)
        .pool(lab, "full6", "fullnat", true);
    patient_checks(WAYS.iter().fold(pools, |config, way| config.vip(way.vip, "tcp", 80, way.pool)))
}

/// Requests spread over all backends, big bodies arrive whole in both directions, in all combinations of families.
fn every_way(site: &Site) -> Result<()> {
    let upload = site.lab.folder().join("upload");
    std::fs::write(&upload, noise(UPLOAD_BYTES))?;
    for way in &WAYS {
        let target = http(way.vip);
        let report = site.requests(target, REQUESTS).with_context(|| format!("{}\n{}", way.pool, site.log()))?;
        let backends: Vec<_> = report.by_backend.keys().map(String::as_str).collect();
        assert_eq!(backends, ["web1", "web2", "web3"], "{target}: {:?}", report.by_backend);
        download(site, target)?;
        post(site, target, &upload)?;
    }
    Ok(())
}

/// What the backend says about the client of one request.
fn client_of(site: &Site, target: SocketAddr) -> Result<(IpAddr, u16)> {
    let answer = site.curl(&[&format!("http://{target}/client")])?;
    let (address, port) = answer.trim().split_once(' ').with_context(|| answer.clone())?;
    Ok((address.parse()?, port.parse()?))
}

/// Backends see an own address of the balancer, of their family, and a port that is not the client's to choose.
#[test]
fn fullnat_in_all_families() -> Result<()> {
    if !runnable("fullnat") {
        return Ok(());
    }
    let site = Site::start(LabOptions::new(), |lab| fullnat(lab, &[1]))?;
    every_way(&site)?;
    for way in &WAYS {
        let own: IpAddr = if way.pool == "full4" { address::BALANCER_V4.into() } else { address::BALANCER_V6.into() };
        assert_eq!(client_of(&site, http(way.vip))?.0, own, "{}", way.vip);
    }
    Ok(())
}

/// A client reaches another port than the one it asks for, and backends that have the balancer as their gateway see it.
#[test]
fn nat_to_another_port() -> Result<()> {
    if !runnable("NAT to another port") {
        return Ok(());
    }
    let ways = [("nat4", address::vip_v4(12), false), ("nat6", address::vip_v6(12), true)];
    let site = Site::start(LabOptions::new(), |lab| {
        let config = GuidewayConfig::new(lab, Device::AfPacket, &[1]);
        patient_checks(ways.iter().fold(config, |config, (pool, vip, ipv6)| {
            with_port(config.pool(lab, pool, "nat", *ipv6), 8080).vip(*vip, "tcp", 80, pool)
        }))
    })?;
    for backend in site.lab.backends() {
        backend.namespace().ip(&format!(
            "route replace default via {}\nroute replace default via {}\n",
            address::BALANCER_V4,
            address::BALANCER_V6
        ))?;
    }
    for (_, vip, ipv6) in ways {
        let target = http(vip);
        download(&site, target)?;
        let service = site.curl(&[&format!("http://{target}/service")])?;
        assert!(service.trim().ends_with(" 8080"), "{service}");
        let clients = |n| if ipv6 { address::client_v6(n) } else { address::client_v4(n) };
        let client = client_of(&site, target)?.0;
        assert!((0..8).any(|n| clients(n) == client), "{client}");
    }
    Ok(())
}

/// nginx learns client and VIP from the header, in both versions and all families, and every byte after it is the client's.
#[test]
fn proxy_protocol_to_nginx() -> Result<()> {
    if !runnable("the PROXY protocol to nginx") {
        return Ok(());
    }
    for version in ["v1", "v2"] {
        let site = Site::start(LabOptions::new(), |lab| {
            let mut config = fullnat(lab, &[1]);
            for pool in &mut config.pool {
                pool.more.insert("proxy_protocol".to_owned(), Value::from(version));
                for backend in &mut pool.backend {
                    backend.insert("port".to_owned(), i64::from(PROXIED_PORT).into());
                }
            }
            config
        })?;
        every_way(&site).context(version)?;
        for way in &WAYS {
            let target = http(way.vip);
            let client = client_of(&site, target)?;
            assert_eq!(client.0.is_ipv4(), way.vip.is_ipv4(), "{client:?}");
            let clients = |n| if way.vip.is_ipv4() { address::client_v4(n) } else { address::client_v6(n) };
            assert!((0..8).any(|n| clients(n) == client.0), "{version}: {client:?}");
            let service = site.curl(&[&format!("http://{target}/service")])?;
            assert_eq!(service.trim(), format!("{} 80", way.vip), "{version}");
        }
    }
    Ok(())
}
