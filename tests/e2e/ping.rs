//! Echo: who pings a VIP gets an answer, whatever the VIP's form.

use crate::setup::{Site, patient_checks};
use anyhow::{Result, ensure};
use guideway_lab::{Device, GuidewayConfig, LabOptions, address, ping_with, runnable};
use std::net::IpAddr;

/// Bytes behind the header of an echo request: as many as `ping` sends, and nearly what a packet holds.
const PAYLOADS: [usize; 2] = [56, 1400];

/// Single VIPs, and prefixes beside them.
fn site(device: Device) -> Result<Site> {
    Site::start(LabOptions::new(), |lab| {
        let config = GuidewayConfig::new(lab, device, &[1])
            .pool(lab, "direct4", "l2dsr", false)
            .pool(lab, "direct6", "l2dsr", true)
            .vip(address::vip_v4(10), "tcp", 80, "direct4")
            .vip(address::vip_v6(10), "tcp", 80, "direct6")
            .wide_vip("203.0.113.64/26", "tcp", 80, "direct4")
            .wide_vip("2001:db8:0:1:1::/80", "tcp", 80, "direct6");
        patient_checks(config)
    })
}

fn vips_answer(device: Device) -> Result<()> {
    let site = site(device)?;
    let in_prefix: IpAddr = "2001:db8:0:1:1::77".parse()?;
    let vips = [address::vip_v4(10), address::vip_v6(10), address::vip_v4(77), in_prefix];
    for vip in vips {
        for payload in PAYLOADS {
            ping_with(site.lab.client(), vip, payload)?;
        }
    }
    let status = site.guideway.status()?;
    let answers = status["control"]["echo_answers"].as_u64();
    // It was Guideway that answered, not a backend.
    ensure!(answers >= Some((vips.len() * PAYLOADS.len()) as u64), "{:#}", status["control"]);
    Ok(())
}

#[test]
fn vips_answer_over_af_packet() -> Result<()> {
    if !runnable("ping over af_packet") {
        return Ok(());
    }
    vips_answer(Device::AfPacket)
}

#[test]
fn vips_answer_over_af_xdp() -> Result<()> {
    if !runnable("ping over af_xdp") {
        return Ok(());
    }
    vips_answer(Device::AfXdp)
}
