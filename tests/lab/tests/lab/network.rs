//! The lab's network, servers and clients, with the kernel in the balancer's place.

use crate::standin;
use anyhow::Result;
use guideway_lab::load::Reason;
use guideway_lab::{Analysis, Capture, LabOptions, Load, LoadOptions, address, runnable};
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

#[test]
fn the_client_reaches_backends_through_the_balancer_and_they_answer_directly() -> Result<()> {
    if !runnable("network") {
        return Ok(());
    }
    let lab = LabOptions::new().backends(1).build()?;
    standin::give_addresses(&lab)?;
    standin::spread(&lab, &[1])?;
    let _nginx = lab.start_nginx()?;
    let capture = Capture::start(lab.segment(), "gw", &lab.folder().join("gw.pcap"), "")?;

    for url in ["http://203.0.113.10", "http://[2001:db8:0:1::10]"] {
        assert_eq!(lab.client().exec("curl", &["-sS", "--max-time", "10", url])?, "web1\n");
    }
    let seen = lab.client().exec("curl", &["-sS", "--max-time", "10", "http://203.0.113.10/client"])?;
    assert!(seen.starts_with("10.1.0.2 "), "the backend sees the client's own address, not {seen}");
    let big = lab.client().exec("curl", &["-sS", "--max-time", "30", "http://203.0.113.10/big"])?;
    assert_eq!(big.len(), guideway_lab::nginx::BIG_BYTES);

    let analysis = Analysis::new(&lab, capture.finish()?);
    assert_eq!(analysis.starts_by_backend()["web1"], 4);
    assert!(
        analysis.packets().iter().all(|packet| packet.flow.source.port() != 80),
        "an answer passed through the balancer"
    );
    Ok(())
}

#[test]
fn two_arms_take_packets_in_on_one_interface_and_out_on_the_other() -> Result<()> {
    if !runnable("two arms") {
        return Ok(());
    }
    let lab = LabOptions::new().backends(1).two_armed().queues(2).build()?;
    standin::give_addresses(&lab)?;
    lab.balancer().sysctl(&[("net.ipv6.conf.gw0.disable_ipv6", "0")])?;
    lab.balancer().ip("addr add 10.2.0.1/24 dev gw0\naddr add fd02::1/64 dev gw0 nodad")?;
    standin::spread(&lab, &[1])?;
    let _nginx = lab.start_nginx()?;
    for url in ["http://203.0.113.10", "http://[2001:db8:0:1::10]"] {
        assert_eq!(lab.client().exec("curl", &["-sS", "--max-time", "10", url])?, "web1\n");
    }
    let channels = lab.balancer().exec("ethtool", &["-l", "gw0"])?;
    assert_eq!(channels.matches("RX:\t\t2").count(), 2, "two receive queues, at most and now:\n{channels}");
    Ok(())
}

#[test]
fn a_killed_server_shows_in_the_load_report_and_in_the_capture() -> Result<()> {
    if !runnable("kill under load") {
        return Ok(());
    }
    let lab = LabOptions::new().client_addresses(4).build()?;
    standin::give_addresses(&lab)?;
    standin::spread(&lab, &[1, 2, 3])?;
    let mut nginx = lab.start_nginx()?;
    let capture = Capture::start(lab.segment(), "gw", &lab.folder().join("gw.pcap"), "")?;
    let sources = (0..4).map(address::client_v4).collect();
    let options = LoadOptions::new(SocketAddr::new(address::vip_v4(10), 80)).clients(8).rate(400.0).sources(sources);
    let load = Load::start(lab.client(), options)?;
    sleep(Duration::from_millis(500));
    let before = load.report();
    assert!(before.failures.is_empty(), "failures before the death: {:?}", before.failures);
    assert_eq!(before.by_backend.keys().map(String::as_str).collect::<Vec<_>>(), ["web1", "web2", "web3"]);

    let death = SystemTime::now();
    nginx[1].kill()?;
    sleep(Duration::from_millis(200));
    standin::spread(&lab, &[1, 3])?;
    let cut = SystemTime::now();
    sleep(Duration::from_millis(500));
    let report = load.stop()?;

    assert!(report.failures_by_reason().contains_key(&Reason::Refused), "{:?}", report.failures_by_reason());
    assert!(report.good > before.good + 50, "{report:?}");
    let analysis = Analysis::new(&lab, capture.finish()?);
    let last = analysis.last_sent_after("web2", death);
    assert!(last.is_some_and(|last| death + last <= cut), "the last packet to web2 was {last:?} after its death");
    assert_eq!(analysis.last_sent_after("web2", cut), None);
    assert!(analysis.last_sent_after("web1", cut).is_some());
    let starts = analysis.starts_by_backend();
    assert_eq!(starts.values().sum::<usize>() as u64, report.good + report.failures.len() as u64, "{starts:?}");
    Ok(())
}

#[test]
fn a_cut_host_is_silent_and_syns_sent_again_are_rescued() -> Result<()> {
    if !runnable("cut") {
        return Ok(());
    }
    let lab = LabOptions::new().backends(2).build()?;
    standin::give_addresses(&lab)?;
    standin::spread(&lab, &[1])?;
    let _nginx = lab.start_nginx()?;
    let target = SocketAddr::new(address::vip_v6(10), 80);
    let capture = Capture::start(lab.segment(), "gw", &lab.folder().join("gw.pcap"), "")?;
    // Learns the neighbors, so that the SYN below leaves the balancer.
    assert_eq!(lab.client().exec("curl", &["-sS", "http://[2001:db8:0:1::10]"])?, "web1\n");
    lab.backend(1).cut()?;
    let load = Load::start(lab.client(), LoadOptions::new(target).clients(1).rate(1000.0))?;
    sleep(Duration::from_millis(300));
    standin::spread(&lab, &[2])?;
    sleep(Duration::from_millis(1500));
    let report = load.stop()?;
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!(report.slow, 1, "the first request waited for the retransmission: {report:?}");
    assert_eq!(report.by_backend.keys().collect::<Vec<_>>(), ["web2"]);
    let analysis = Analysis::new(&lab, capture.finish()?);
    assert_eq!(analysis.rescued_starts("web1"), 1);

    lab.backend(1).restore()?;
    standin::spread(&lab, &[1])?;
    assert_eq!(lab.client().exec("curl", &["-sS", "--max-time", "10", "http://203.0.113.10"])?, "web1\n");
    assert_eq!(lab.client().exec("curl", &["-sS", "--max-time", "10", "http://[2001:db8:0:1::10]"])?, "web1\n");
    Ok(())
}

#[test]
fn connections_kept_open_show_when_their_backend_goes() -> Result<()> {
    if !runnable("keepalive") {
        return Ok(());
    }
    let lab = LabOptions::new().backends(2).build()?;
    standin::give_addresses(&lab)?;
    standin::spread(&lab, &[1])?;
    let _nginx = lab.start_nginx()?;
    let capture = Capture::start(lab.segment(), "gw", &lab.folder().join("gw.pcap"), "")?;
    let target = SocketAddr::new(address::vip_v4(10), 80);
    let options = LoadOptions::new(target).clients(6).rate(200.0).requests_per_connection(usize::MAX);
    let load = Load::start(lab.client(), options)?;
    sleep(Duration::from_millis(500));
    let before = load.report();
    assert!(before.failures.is_empty() && before.good > 20, "{before:?}");
    // Routes know no connections: the other backend resets what it has not seen begin.
    standin::spread(&lab, &[2])?;
    sleep(Duration::from_millis(500));
    let report = load.stop()?;
    assert_eq!(report.failures_by_reason().into_iter().collect::<Vec<_>>(), [(Reason::Reset, 6)]);
    let analysis = Analysis::new(&lab, capture.finish()?);
    let starts: Vec<_> = analysis.starts_by_backend().into_iter().collect();
    assert_eq!(starts, [("web1".to_owned(), 6), ("web2".to_owned(), 6)]);
    let moves = analysis.moves();
    assert_eq!(moves.len(), 6, "{moves:?}");
    assert!(moves.iter().all(|step| !step.start && step.from == "web1" && step.to == "web2"), "{moves:?}");
    Ok(())
}
