//! Several routers on the way to backends: they share the flows, and one that is gone gets none.

use crate::setup::{PATIENCE, Site, http, patient_checks, wait_for_good};
use anyhow::{Context, Result, ensure};
use guideway_lab::far::{self, Far};
use guideway_lab::process::wait_for;
use guideway_lab::{Device, GuidewayConfig, LabOptions, address, runnable};
use std::net::{IpAddr, SocketAddr};

/// Answers to wait for.
const REQUESTS: u64 = 100;
/// Answers in a row, with not one request lost, that show that nobody is sent to the router that is gone.
const UNDISTURBED: u64 = 100;

/// Two routers to the backends in each family.
fn site(device: Device) -> Result<(Far, Site)> {
    let lab = Site::lab(LabOptions::new())?;
    let network = Far::build(&lab, 2, 1600)?;
    let hops = [far::hop_addresses(1), far::hop_addresses(2)];
    let config = GuidewayConfig::new(&lab, device, &[1])
        .route(far::FAR_V4, &hops.map(|[v4, _]| v4))
        .route(far::FAR_V6, &hops.map(|[_, v6]| v6))
        .pool_at(lab.backends(), "tunnel4", "ipip", |backend| far::backend_addresses(backend)[0])
        .pool_at(lab.backends(), "tunnel6", "ipip", |backend| far::backend_addresses(backend)[1])
        .vip(address::vip_v4(10), "tcp", 80, "tunnel4")
        .vip(address::vip_v6(10), "tcp", 80, "tunnel6");
    let site = Site::start_in(lab, patient_checks(config), &[])?;
    Ok((network, site))
}

/// Packets that each router gets while requests are answered.
fn share(site: &Site, network: &Far, target: SocketAddr) -> Result<[u64; 2]> {
    let before = [network.received(1)?, network.received(2)?];
    site.requests(target, REQUESTS)?;
    Ok([network.received(1)? - before[0], network.received(2)? - before[1]])
}

/// A request takes five packets of the client or more, and every router has a fair part of them.
fn both_have_a_share(site: &Site, network: &Far, vip: IpAddr) -> Result<()> {
    let packets = share(site, network, http(vip))?;
    ensure!(packets.iter().all(|packets| *packets > REQUESTS), "{vip}: the routers got {packets:?}");
    Ok(())
}

/// Waits until so many requests in a row are answered that none can be sent to a router that is gone.
fn recovers(site: &Site, target: SocketAddr) -> Result<()> {
    wait_for("requests to pass the other router", PATIENCE, || {
        let load = site.load(target)?;
        let answered = wait_for_good(&load, UNDISTURBED);
        let report = load.stop()?;
        answered?;
        Ok(report.failures.is_empty().then_some(()))
    })
}

fn flows_are_shared(device: Device) -> Result<()> {
    let (network, site) = site(device)?;
    let vips = [address::vip_v4(10), address::vip_v6(10)];
    for vip in vips {
        both_have_a_share(&site, &network, vip)?;
    }
    for gone in [1, 2] {
        network.cut(&site.lab, gone)?;
        for vip in vips {
            recovers(&site, http(vip)).with_context(|| format!("{vip} without router {gone}\n{}", site.log()))?;
        }
        let left = 3 - gone;
        let packets = share(&site, &network, http(vips[0]))?;
        ensure!(packets[left - 1] > 3 * REQUESTS && packets[gone - 1] == 0, "without {gone}: {packets:?}");
        network.restore(&site.lab, gone)?;
        wait_for("the router to get packets again", PATIENCE, || {
            Ok(vips.iter().all(|vip| both_have_a_share(&site, &network, *vip).is_ok()).then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn share_flows_over_af_packet() -> Result<()> {
    if !runnable("several next hops over af_packet") {
        return Ok(());
    }
    flows_are_shared(Device::AfPacket)
}

#[test]
fn share_flows_over_af_xdp() -> Result<()> {
    if !runnable("several next hops over af_xdp") {
        return Ok(());
    }
    flows_are_shared(Device::AfXdp)
}
