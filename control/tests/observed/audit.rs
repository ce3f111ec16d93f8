//! The connection log and the log of changes.

use crate::balancer::{Balancer, PATIENCE, packet};
use guideway_config::model::{Audit, ConnectionLog, LogTarget};
use guideway_control::audit::{Author, Change};
use guideway_control::reload::run::Ask;
use guideway_control::replay::CaptureWriter;
use guideway_dataplane::craft::Craft;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::tcp;
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const VIP: &str = "203.0.113.10:80";

fn connections(to: LogTarget, rate: u32) -> Audit {
    Audit { connections: Some(ConnectionLog { to, sample: 1, datagram_sample: 0, rate }), changes: None }
}

/// Waits until a file has so many lines.
fn lines(path: &Path, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count {
            return text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        }
        assert!(begun.elapsed() < PATIENCE, "{count} lines: {text}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_connection_is_a_line_and_a_file_that_was_moved_away_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, moved) = (folder.path().join("connections.json"), folder.path().join("connections.json.1"));
    std::fs::write(&path, "{\"earlier\": true}\n").expect("a folder");
    let balancer = Balancer::writing(connections(LogTarget::File(path.clone()), 10_000));
    for flags in [tcp::SYN, tcp::ACK, tcp::ACK | tcp::FIN] {
        balancer.offer(&packet(40_000, VIP, flags));
    }
    balancer.offer(&packet(40_001, "203.0.113.10:81", tcp::SYN));
    let told = &lines(&path, 2)[1];
    let backend = told["backend"].as_str().expect("a name");
    let number: u8 = backend.strip_prefix("web").and_then(|number| number.parse().ok()).expect("web1 to web3");
    let expected = json!({
        "time": told["time"], "event": "syn", "protocol": "tcp", "client": "192.0.2.7:40000", "destination": VIP,
        "vip": "203.0.113.10:80/tcp", "pool": "web", "backend": backend,
        "backend_address": format!("10.0.0.{}", 10 + number),
        "slot": told["slot"], "by": "slot", "generation": told["generation"], "worker": 0,
    });
    assert_eq!(*told, expected);

    std::fs::rename(&path, &moved).expect("a file");
    balancer.offer(&packet(40_002, VIP, tcp::SYN));
    assert_eq!(lines(&moved, 3)[2]["client"], "192.0.2.7:40002", "nobody said so");
    let runtime = balancer.runtime.as_ref().expect("it runs");
    assert!(runtime.reload(Ask::default()).is_err(), "it has no file; logs are opened again whatever comes of it");
    balancer.offer(&packet(40_003, VIP, tcp::SYN));
    assert_eq!(lines(&path, 1)[0]["client"], "192.0.2.7:40003");
    drop(balancer);
    assert_eq!((lines(&moved, 3).len(), lines(&path, 1).len()), (3, 1), "one line for each connection");
}

#[test]
fn what_is_above_the_rate_is_counted_in_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("connections.json");
    let balancer = Balancer::writing(connections(LogTarget::File(path.clone()), 1));
    (0..500).for_each(|port| balancer.offer(&packet(40_000 + port, VIP, tcp::SYN)));
    let begun = Instant::now();
    loop {
        let told = lines(&path, 1);
        let (gaps, starts): (Vec<_>, Vec<_>) = told.iter().partition(|line| line["event"] == "gap");
        let missing: u64 = gaps.iter().map(|gap| gap["limited"].as_u64().expect("a count")).sum();
        if starts.len() as u64 + missing == 500 {
            assert!(starts.len() < 100 && gaps.iter().all(|gap| gap["lost"] == 0), "{told:?}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{} and {missing}", starts.len());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_syslog_daemon_gets_messages_of_its_protocol() {
    let daemon = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    daemon.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let to = LogTarget::Syslog(Some(daemon.local_addr().expect("an address")));
    let balancer = Balancer::writing(Audit { changes: Some(to.clone()), ..connections(to, 10_000) });
    balancer.offer(&packet(40_000, VIP, tcp::SYN));
    let receive = || {
        let mut buffer = [0; 2_000];
        let len = daemon.recv(&mut buffer).expect("a message");
        String::from_utf8(buffer[..len].to_vec()).expect("UTF-8")
    };
    let message = receive();
    let (head, json) = message.split_once(" - ").expect("no structured data");
    let fields: Vec<&str> = head.split(' ').collect();
    assert_eq!((fields.len(), fields[0], fields[3], fields[5]), (6, "<134>1", "guideway", "connection"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(json).expect("JSON")["client"], "192.0.2.7:40000");
    balancer.client().weight("web", "web1", 5).expect("a change");
    assert!(receive().contains(" change - {"));
}

#[test]
fn a_collector_of_flows_reads_connections() {
    let collector = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    collector.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let to = LogTarget::Ipfix(collector.local_addr().expect("an address"));
    let balancer = Balancer::writing(connections(to, 10_000));
    balancer.offer(&packet(40_000, VIP, tcp::SYN));
    // As it would be captured on the collector's port.
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ipfix.pcap");
    let mut writer = CaptureWriter::create(&file).expect("a file");
    for _ in ["templates", "records"] {
        let mut buffer = [0; 2_000];
        let len = collector.recv(&mut buffer).expect("a message");
        let datagram =
            Craft::udp("192.0.2.1:9".parse().expect("an address"), "192.0.2.9:4739".parse().expect("an address"));
        writer.write(Nanos(1), &datagram.payload(&buffer[..len]).frame()).expect("a file");
    }
    writer.finish().expect("a file");
    let fields =
        ["cflow.srcaddr", "cflow.dstaddr", "cflow.srcport", "cflow.dstport", "cflow.protocol", "cflow.nexthop"];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&file).args(["-d", "udp.port==4739,cflow", "-Y", "cflow.srcaddr", "-T", "fields"]);
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = tshark.output().expect("tshark is not here: scripts/setup installs it");
    let text = String::from_utf8_lossy(&output.stdout);
    let values: Vec<&str> = text.trim().split('\t').collect();
    assert_eq!(values[..5], ["192.0.2.7", "203.0.113.10", "40000", "80", "6"], "{output:?}");
    assert!(["10.0.0.11", "10.0.0.12", "10.0.0.13"].contains(&values[5]), "{output:?}");
}

#[test]
fn a_change_is_told_with_who_made_it_and_what_was_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("changes.json");
    let balancer = Balancer::writing(Audit { connections: None, changes: Some(LogTarget::File(path.clone())) });
    let client = balancer.client();
    client.weight("web", "web1", 5).expect("a change");
    client.drain("web", "web2", false).expect("a change");
    client.weight("web", "web9", 5).expect_err("there is none");
    let changes = client.changes().expect("changes");
    let what: Vec<_> = changes.iter().map(|change| (change.what.as_str(), change.change.as_str())).collect();
    assert_eq!(what, [("backend web/web1", "weight"), ("backend web/web2", "drain")], "what was refused is none");
    let Author::Api { uid: Some(_), pid: Some(pid) } = changes[0].by else { panic!("{:?}", changes[0]) };
    assert_eq!(pid as u32, std::process::id());
    assert_eq!((&changes[0].from["weight"], &changes[0].to["weight"]), (&json!(1), &json!(5)));
    assert_eq!((&changes[1].from["admin"], &changes[1].to["admin"]), (&json!("enabled"), &json!("draining")));
    let written: Vec<Change> =
        lines(&path, 2).into_iter().map(|line| serde_json::from_value(line).expect("a change")).collect();
    assert_eq!(written, changes);
}

#[test]
fn the_latest_thousand_are_kept() {
    let balancer = Balancer::start();
    let runtime = balancer.runtime.as_ref().expect("it runs");
    for weight in 1..=1_005 {
        let mut control = runtime.control().lock().expect("no panic");
        control.audit_mut().changed("backend web/web1".to_owned(), "weight", json!(weight - 1), json!(weight));
    }
    let changes = balancer.client().changes().expect("changes");
    assert_eq!((changes.len(), &changes[0].to, &changes[999].to), (1_000, &json!(6), &json!(1_005)));
    assert!(changes.iter().all(|change| change.by == Author::Process));
}
