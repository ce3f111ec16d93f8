//! The decapsulator, fed by an encapsulator in the balancer's place: all four combinations of families.

use crate::standin;
use anyhow::Result;
use guideway_lab::{Analysis, Capture, LabOptions, address, runnable, tunnel};
use std::net::IpAddr;
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn the_decapsulator_takes_all_four_combinations() -> Result<()> {
    if !runnable("tunnel") {
        return Ok(());
    }
    let lab = LabOptions::new().backends(1).build()?;
    standin::give_addresses(&lab)?;
    let backend = lab.backend(1);
    let _nginx = lab.start_nginx()?;
    let _decap = backend.start_decap()?;
    for remote in [IpAddr::from(backend.v4()), IpAddr::from(backend.v6())] {
        let device = if remote.is_ipv4() { "tun4" } else { "tun6" };
        let (sender, ready) = mpsc::channel();
        let _thread = lab.balancer().enter_background(move || {
            tunnel::encapsulate(device, remote, || {
                // The test waits for this; when it gave up nobody listens.
                let _ = sender.send(());
            })
        })?;
        ready.recv_timeout(Duration::from_secs(10))?;
        let (v4, v6) = (address::VIPS_V4, address::VIPS_V6);
        lab.balancer().sysctl(&[(&format!("net.ipv6.conf.{device}.disable_ipv6"), "0")])?;
        lab.balancer()
            .ip(&format!("link set {device} up\nroute replace {v4} dev {device}\nroute replace {v6} dev {device}\n"))?;

        let name = format!("{device}.pcap");
        let capture = Capture::start(lab.segment(), "gw", &lab.folder().join(name), "")?;
        for url in ["http://203.0.113.10", "http://[2001:db8:0:1::10]"] {
            assert_eq!(lab.client().exec("curl", &["-sS", "--max-time", "10", url])?, "web1\n", "{url} in {remote}");
        }
        let big = lab.client().exec("curl", &["-sS", "--max-time", "30", "http://203.0.113.10/big"])?;
        assert_eq!(big.len(), guideway_lab::nginx::BIG_BYTES);
        let upload = "a".repeat(100_000);
        let refused = lab.client().exec(
            "curl",
            &[
                "-sS",
                "--max-time",
                "10",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-d",
                &upload,
                "http://203.0.113.10/no",
            ],
        )?;
        assert_eq!(refused, "404", "an upload of full segments arrives too");

        let analysis = Analysis::new(&lab, capture.finish()?);
        let mut inner_families: Vec<bool> = analysis
            .sent_to("web1")
            .filter(|packet| packet.tcp.is_some_and(|tcp| tcp.is_start()))
            .filter(|packet| packet.outer.is_some_and(|(_, destination)| destination == remote))
            .map(|packet| packet.flow.source.is_ipv4())
            .collect();
        inner_families.sort_unstable();
        assert_eq!(inner_families, [false, true, true, true], "SYNs inside {remote}");
    }
    Ok(())
}
