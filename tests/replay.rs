//! `guideway replay` as an operator runs it: a capture in, frames and verdicts out, without root or devices.

use guideway_dataplane::wire::checksum;
use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const OTHER_KEY: &str = "ffeeddccbbaa99887766554433221100";

/// A configuration with one pool; backends are (name, last byte of the address, weight), in this order.
fn config(key: &str, backends: &[(String, u8, u32)]) -> String {
    let mut text = format!(
        r#"
[fleet]
hash_key = "{key}"
[cores]
control = 0
workers = [1]
[[port]]
name = "edge"
device = "net_null0"
[[interface]]
port = "edge"
addresses = ["10.0.0.1/24"]
"#
    );
    for (_, host, _) in backends {
        writeln!(text, "[[interface.neighbor]]\naddress = \"10.0.0.{host}\"\nmac = \"02:00:00:00:00:{host:02x}\"")
            .unwrap();
    }
    text.push_str("[[pool]]\nname = \"web\"\nforward = \"ipip\"\ntable_size = 65537\n");
    for (name, host, weight) in backends {
        writeln!(text, "[[pool.backend]]\nname = \"{name}\"\naddress = \"10.0.0.{host}\"\nweight = {weight}").unwrap();
    }
    text.push_str("[[vip]]\naddress = \"203.0.113.10\"\nprotocol = \"tcp\"\nport = 80\npool = \"web\"\n");
    text
}

/// `count` backends named `web1`… of weight 1.
fn equal(count: u8) -> Vec<(String, u8, u32)> {
    (1..=count).map(|n| (format!("web{n}"), 10 + n, 1)).collect()
}

/// A SYN of flow `n` to the VIP; every flow has its own address and port.
fn syn(n: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xfe, 0x08, 0x00];
    let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    ip.extend([198, 51, (n >> 8) as u8, n as u8, 203, 0, 113, 10]);
    let sum = checksum::of(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(ip);
    frame.extend((1_024 + (n.wrapping_mul(40_503) % 60_000) as u16).to_be_bytes());
    frame.extend([0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    frame
}

struct Case {
    folder: TempDir,
}

impl Case {
    /// A folder with a capture of these frames, a millisecond apart.
    fn new(frames: impl Iterator<Item = Vec<u8>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let header = PcapHeader { datalink: DataLink::ETHERNET, ..Default::default() };
        let mut writer = PcapWriter::with_header(File::create(folder.path().join("in.pcap")).unwrap(), header).unwrap();
        for (n, frame) in frames.enumerate() {
            let at = Duration::from_millis(1_000 + n as u64);
            writer.write_packet(&PcapPacket::new(at, frame.len() as u32, &frame)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, config: &str, out: &str, options: &[&str]) -> Output {
        std::fs::write(self.path("config.toml"), config).unwrap();
        Command::new(env!("CARGO_BIN_EXE_guideway"))
            .arg("replay")
            .arg("--config")
            .arg(self.path("config.toml"))
            .arg("--in")
            .arg(self.path("in.pcap"))
            .arg("--out")
            .arg(self.path(out))
            .args(options)
            .output()
            .unwrap()
    }

    /// The backend of every packet that was forwarded, by packet number.
    fn backends(&self, config: &str, options: &[&str]) -> HashMap<u64, String> {
        let output = self.run(config, "out.pcap", &[&["--json"], options].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let objects = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let forwarded = objects.filter(|object| object["verdict"] == "forward");
        forwarded.map(|o| (o["number"].as_u64().unwrap(), o["backend"].as_str().unwrap().to_owned())).collect()
    }
}

fn shares(owners: &HashMap<u64, String>) -> HashMap<&str, usize> {
    let mut shares = HashMap::new();
    for owner in owners.values() {
        *shares.entry(owner.as_str()).or_default() += 1;
    }
    shares
}

#[test]
fn flows_spread_evenly() {
    let case = Case::new((0..5_000).map(syn));
    let owners = case.backends(&config(KEY, &equal(10)), &[]);
    assert_eq!(owners.len(), 5_000);
    let shares = shares(&owners);
    assert_eq!(shares.len(), 10);
    for (backend, share) in shares {
        assert!((400..=600).contains(&share), "{backend} has {share} of 5,000 flows; the mean is 500");
    }
}

#[test]
fn weights_are_honoured() {
    let case = Case::new((0..20_000).map(syn));
    let mut backends = equal(8);
    for backend in &mut backends[4..] {
        backend.2 = 3;
    }
    let owners = case.backends(&config(KEY, &backends), &[]);
    let shares = shares(&owners);
    let class =
        |hosts: std::ops::RangeInclusive<u32>| -> usize { hosts.map(|n| shares[format!("web/web{n}").as_str()]).sum() };
    let (light, heavy) = (class(1..=4), class(5..=8));
    assert_eq!(light + heavy, 20_000);
    assert!((4_750..=5_250).contains(&light), "weight 1 has {light} of 20,000; its share is 5,000");
    assert!((14_250..=15_750).contains(&heavy), "weight 3 has {heavy} of 20,000; its share is 15,000");
}

#[test]
fn a_backend_that_is_down_moves_only_its_own_flows() {
    let case = Case::new((0..5_000).map(syn));
    let config = config(KEY, &equal(10));
    let before = case.backends(&config, &[]);
    for down in ["web3", "web/web3"] {
        let after = case.backends(&config, &["--down", down]);
        assert_eq!(after.len(), before.len());
        for (number, owner) in &before {
            if owner == "web/web3" {
                assert_ne!(&after[number], owner);
            } else {
                assert_eq!(&after[number], owner, "packet {number} moved");
            }
        }
    }
}

#[test]
fn the_order_of_listing_does_not_matter() {
    let case = Case::new((0..5_000).map(syn));
    let mut backends = equal(10);
    let before = case.backends(&config(KEY, &backends), &[]);
    backends.reverse();
    backends.swap(2, 7);
    assert_eq!(case.backends(&config(KEY, &backends), &[]), before);
}

#[test]
fn another_key_moves_nearly_everything() {
    let case = Case::new((0..5_000).map(syn));
    let before = case.backends(&config(KEY, &equal(10)), &[]);
    let after = case.backends(&config(OTHER_KEY, &equal(10)), &[]);
    let moved = before.iter().filter(|(number, owner)| after[number] != **owner).count();
    assert!(moved >= 4_250, "{moved} of 5,000 flows moved");
}

#[test]
fn the_same_capture_gives_the_same_bytes() {
    let case = Case::new((0..2_000).map(syn));
    let config = config(KEY, &equal(10));
    let first = case.run(&config, "a.pcap", &["--json"]);
    let second = case.run(&config, "b.pcap", &["--json"]);
    assert!(first.status.success());
    assert_eq!(first.stdout, second.stdout);
    let bytes = std::fs::read(case.path("a.pcap")).unwrap();
    assert!(bytes == std::fs::read(case.path("b.pcap")).unwrap());
    assert!(bytes.len() > 2_000 * 90, "the output holds the frames");
}

/// Frames and their times in a pcap file.
fn frames(path: &Path) -> Vec<(Duration, Vec<u8>)> {
    let mut reader = PcapReader::new(File::open(path).unwrap()).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        frames.push((packet.timestamp, packet.data.into_owned()));
    }
    frames
}

#[test]
fn frames_keep_their_time_and_carry_the_packet() {
    let case = Case::new((0..10).map(syn));
    assert!(case.run(&config(KEY, &equal(3)), "out.pcap", &[]).status.success());
    let sent = frames(&case.path("out.pcap"));
    assert_eq!(sent.len(), 10);
    for (n, (at, frame)) in (0..).zip(&sent) {
        assert_eq!(*at, Duration::from_millis(1_000 + u64::from(n)));
        assert_eq!(frame[34..], syn(n)[14..], "the inner packet is untouched");
        assert_eq!(frame[0..5], [2, 0, 0, 0, 0]);
        assert_eq!(frame[5], frame[33], "the next hop's MAC belongs to the outer destination");
        assert_eq!(checksum::of(&frame[14..34]), 0);
    }
}

#[test]
fn arp_and_echo_are_answered() {
    let mut arp = vec![0xff; 6];
    arp.extend([2, 0, 0, 0, 0, 0xfe, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 0xfe, 10, 0, 0, 254]);
    arp.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
    let mut echo = syn(1);
    echo[14 + 9] = 1;
    echo[14 + 10..14 + 12].fill(0);
    let sum = checksum::of(&echo[14..34]);
    echo[24..26].copy_from_slice(&sum.to_be_bytes());
    echo[34..].fill(0);
    echo[34] = 8;
    let sum = checksum::of(&echo[34..]);
    echo[36..38].copy_from_slice(&sum.to_be_bytes());
    let case = Case::new([arp, echo].into_iter());
    let output = case.run(&config(KEY, &equal(2)), "out.pcap", &["--explain"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches(" answer ").count(), 2, "{text}");
    let sent = frames(&case.path("out.pcap"));
    assert_eq!(sent[0].1[20..22], [0, 2], "an ARP reply");
    assert_eq!(sent[1].1[34], 0, "an echo reply");
    assert_eq!(sent[1].1[26..30], [203, 0, 113, 10], "from the VIP");
}

#[test]
fn what_does_not_exist_is_bad_usage() {
    let case = Case::new((0..1).map(syn));
    let config = config(KEY, &equal(2));
    for (options, text) in
        [(["--down", "nobody"], "no backend has that name"), (["--port", "nowhere"], "there is no such port")]
    {
        let output = case.run(&config, "out.pcap", &options);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(text));
    }
    std::fs::write(case.path("in.pcap"), "this is no capture at all").unwrap();
    let output = case.run(&config, "out.pcap", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("in.pcap"));
}

#[test]
fn a_drain_on_the_way_sends_new_flows_elsewhere() {
    let case = Case::new((0..5_000).map(syn));
    let config = config(KEY, &equal(10));
    let output =
        case.run(&config, "out.pcap", &["--json", "--at", "500ms", "drain web/web3", "--at", "0.5s", "down web4"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (closing, packets) = objects.split_last().unwrap();
    let count =
        |from: usize, to: usize, backend: &str| packets[from..to].iter().filter(|p| p["backend"] == backend).count();
    assert!(count(0, 500, "web/web3") > 20 && count(0, 500, "web/web4") > 20);
    assert_eq!(count(500, 5_000, "web/web4"), 0, "a death counts at once");
    // `arm_time` is 3 s by default: until then SYNs may be sent again.
    assert!(count(500, 3_500, "web/web3") > 150);
    assert_eq!(count(3_600, 5_000, "web/web3"), 0);
    assert_eq!((&packets[499]["by"], &packets[499]["generation"]), (&Value::from("slot"), &Value::from(1)));
    let phases = |phase: &str| packets.iter().filter(|packet| packet["phase"] == phase).count();
    assert!(phases("armed") > 150 && phases("transition") > 50);
    assert_eq!(closing["actions"][0], serde_json::json!({"at": "500ms", "action": "drain web/web3"}));
    assert_eq!(closing["pools"]["web"]["states"], serde_json::json!({"web3": "draining", "web4": "down"}));
    assert!(closing["pools"]["web"]["transition"].as_u64().unwrap() > 10_000 && closing["pins"]["in_use"] != 0);
}

#[test]
fn several_late_workers_and_still_the_same_bytes() {
    let case = Case::new((0..3_000).map(syn));
    let config = config(KEY, &equal(10));
    let options =
        ["--workers", "4", "--skew", "5", "--at", "1s", "down web/web3", "--at", "1.2s", "up web/web3", "--json"];
    let first = case.run(&config, "a.pcap", &options);
    let second = case.run(&config, "b.pcap", &options);
    assert!(first.status.success() && first.stdout == second.stdout);
    assert!(std::fs::read(case.path("a.pcap")).unwrap() == std::fs::read(case.path("b.pcap")).unwrap());
    let text = String::from_utf8(first.stdout).unwrap();
    for worker in 0..4 {
        assert!(text.contains(&format!("\"worker\":{worker},")));
    }
    let other = case.run(&config, "c.pcap", &[&options[..2], &["--skew"], &options[4..]].concat());
    assert!(other.status.success() && other.stdout != text.as_bytes(), "the seed is 0 then");
}

#[test]
fn an_explanation_says_what_changed_when() {
    let case = Case::new((0..20).map(syn));
    let options = ["--explain", "--workers", "2", "--at", "10ms", "down web/web2", "--at", "5s", "drain web/web1"];
    let output = case.run(&config(KEY, &equal(3)), "out.pcap", &options);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[10], "at 10ms: down web/web2", "{text}");
    assert!(lines[11].contains(", worker ") && lines[11].contains(", generation 2"), "{text}");
    assert!(text.contains("at 5s: drain web/web1") && text.contains("web/web1: draining"), "{text}");
}

#[test]
fn a_change_that_cannot_be_is_bad_usage() {
    let case = Case::new((0..100).map(syn));
    let config = config(KEY, &equal(2));
    for (options, text) in [
        (&["--at", "2.5s", "drain web/web9"][..], "--at 2.5s 'drain web/web9': pool \"web\" has no backend \"web9\""),
        (&["--at", "soon", "drain web/web1"], "--at soon 'drain web/web1': the time is a number and a unit"),
        (&["--at", "1s", "stop web/web1"], "there is no action \"stop\"; write one of drain"),
        (&["--at", "1s"], "2 values required"),
        (&["--at", "10ms", "remove web1", "--at", "20ms", "remove web2"], "is the last backend"),
        (&["--workers", "0"], "not in 1..=64"),
        (&["--workers", "65"], "not in 1..=64"),
        (&["--skew", "much"], "invalid value 'much'"),
    ] {
        let output = case.run(&config, "out.pcap", options);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {told}");
        assert!(told.contains(text), "{options:?}: {told}");
    }
}
