//! VIPs of many ports and addresses, and which of several takes a packet.

use crate::setup::{Site, patient_checks};
use anyhow::{Result, ensure};
use guideway_lab::{Device, GuidewayConfig, LabOptions, runnable};
use std::net::SocketAddr;

/// VIPs, each with a pool of the backend with this number, in an order that has nothing to do with who takes what.
const VIPS: [(&str, &str, usize); 8] = [
    ("203.0.113.0/24", "any", 5),
    ("203.0.113.10", "any", 3),
    ("203.0.113.10", "8000-8099", 2),
    ("203.0.113.10", "8080", 1),
    ("203.0.113.64/26", "8000-8099", 4),
    ("2001:db8:0:1::/64", "any", 5),
    ("2001:db8:0:1::10", "8000-8099", 2),
    ("2001:db8:0:1::10", "8080", 1),
];

/// Addresses and ports, and which backend answers there.
const ANSWERS: [(&str, usize); 24] = [
    // A number is closer than a range, a range closer than any port.
    ("203.0.113.10:8080", 1),
    ("203.0.113.10:8000", 2),
    ("203.0.113.10:8050", 2),
    ("203.0.113.10:8099", 2),
    ("203.0.113.10:7999", 3),
    ("203.0.113.10:8100", 3),
    ("203.0.113.10:80", 3),
    // A prefix takes what its single addresses leave, a longer one before a shorter one.
    ("203.0.113.64:8000", 4),
    ("203.0.113.127:8080", 4),
    ("203.0.113.77:8099", 4),
    ("203.0.113.63:8000", 5),
    ("203.0.113.128:8080", 5),
    ("203.0.113.11:8080", 5),
    ("203.0.113.254:81", 5),
    // Of the longer prefix this is no port.
    ("203.0.113.77:8100", 5),
    ("203.0.113.77:80", 5),
    ("[2001:db8:0:1::10]:8080", 1),
    ("[2001:db8:0:1::10]:8000", 2),
    ("[2001:db8:0:1::10]:8099", 2),
    // Of the single address these are no ports.
    ("[2001:db8:0:1::10]:8100", 5),
    ("[2001:db8:0:1::10]:80", 5),
    ("[2001:db8:0:1::11]:8080", 5),
    ("[2001:db8:0:1:ffff::1]:8000", 5),
    ("[2001:db8:0:1::]:81", 5),
];

fn site(forward: &'static str) -> Result<Site> {
    Site::start(LabOptions::new().backends(5), |lab| {
        let mut config = GuidewayConfig::new(lab, Device::AfXdp, &[1]);
        for (number, (address, port, backend)) in VIPS.into_iter().enumerate() {
            let (pool, ipv6) = (format!("pool{number}"), address.contains(':'));
            let at = |host: &guideway_lab::Backend| if ipv6 { host.v6().into() } else { host.v4().into() };
            config = config.pool_at(&lab.backends()[backend - 1..backend], &pool, forward, at);
            config = match port.parse::<u16>() {
                Ok(port) => config.wide_vip(address, "tcp", i64::from(port), &pool),
                Err(_) => config.wide_vip(address, "tcp", port, &pool),
            };
        }
        patient_checks(config)
    })
}

fn the_closest_vip_answers(forward: &'static str) -> Result<()> {
    let site = site(forward)?;
    for (target, backend) in ANSWERS {
        let target: SocketAddr = target.parse()?;
        let answer = site.curl(&[&format!("http://{target}/")])?;
        ensure!(answer == format!("web{backend}\n"), "{target}: {answer:?}");
        // The address and port that the client asked for are what the backend sees, and what its answer comes from.
        let seen = site.curl(&[&format!("http://{target}/service")])?;
        ensure!(seen == format!("{} {}\n", target.ip(), target.port()), "{target}: {seen:?}");
    }
    Ok(())
}

#[test]
fn the_closest_vip_answers_directly() -> Result<()> {
    if !runnable("ranges and prefixes with l2dsr") {
        return Ok(());
    }
    the_closest_vip_answers("l2dsr")
}

#[test]
fn the_closest_vip_answers_in_tunnels() -> Result<()> {
    if !runnable("ranges and prefixes with ipip") {
        return Ok(());
    }
    the_closest_vip_answers("ipip")
}
