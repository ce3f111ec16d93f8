//! The configurations that the lab writes are ones that Guideway takes.

use anyhow::Result;
use guideway_config::model::{Config, Forward, Protocol};
use guideway_lab::{Device, GuidewayConfig, LabOptions, address, runnable};

fn parse(config: &GuidewayConfig) -> Result<Config> {
    let text = config.text()?;
    match guideway_config::parse(&text, None) {
        Ok(parsed) => Ok(parsed.config),
        Err(errors) => anyhow::bail!("{errors:?}\n{text}"),
    }
}

#[test]
fn one_armed_with_both_forwarding_modes_and_families() -> Result<()> {
    if !runnable("configuration") {
        return Ok(());
    }
    let lab = LabOptions::new().backends(2).build()?;
    let config = GuidewayConfig::new(&lab, Device::AfPacket, &[1])
        .pool(&lab, "web", "l2dsr", false)
        .pool(&lab, "tunnel", "ipip", true)
        .vip(address::vip_v4(10), "tcp", 80, "web")
        .vip(address::vip_v6(10), "udp", 53, "tunnel");
    let parsed = parse(&config)?;
    assert_eq!(parsed.socket, config.socket());
    assert_eq!(parsed.ports.len(), 1);
    assert_eq!(u32::from(parsed.ports[0].mtu), lab.segment_mtu());
    assert_eq!(parsed.routes.len(), 2);
    assert_eq!(parsed.pools.iter().map(|pool| pool.forward).collect::<Vec<_>>(), [Forward::L2dsr, Forward::Ipip]);
    assert_eq!(parsed.pools[1].backends[1].address, lab.backend(2).v6());
    assert!(parsed.pools.iter().all(|pool| !pool.health.is_empty()));
    assert_eq!(parsed.vips[1].protocol, Protocol::Udp);
    Ok(())
}

#[test]
fn two_armed_with_two_workers() -> Result<()> {
    if !runnable("configuration") {
        return Ok(());
    }
    let lab = LabOptions::new().backends(1).two_armed().queues(2).build()?;
    let config = GuidewayConfig::new(&lab, Device::AfXdp, &[0, 1]).pool(&lab, "web", "l2dsr", false).vip(
        address::vip_v4(10),
        "tcp",
        80,
        "web",
    );
    let parsed = parse(&config)?;
    assert_eq!(parsed.cores.workers, [0, 1]);
    assert_eq!(parsed.ports.iter().map(|port| port.mtu).collect::<Vec<_>>(), [1500, 1600]);
    assert_eq!(parsed.interfaces.iter().map(|interface| interface.port).collect::<Vec<_>>(), [0, 1]);
    Ok(())
}
