//! A process that is killed leaves nothing behind that its successor minds.

mod net;
mod privilege;

use guideway_dataplane::port::{Burst, TxQueue as _};
use guideway_dpdk::{Eal, EalConfig, Mempool, MempoolConfig, Port, PortConfig, PortError};
use net::{Wire, frame, receive};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// Names the device in the child's environment.
const DEVICE: &str = "GWF_KILLED_DEVICE";

#[test]
fn starts_again_at_once() {
    if let Ok(device) = std::env::var(DEVICE) {
        return echo(&device);
    }
    if !privilege::is_root() {
        return privilege::skip("interfaces need root");
    }
    net::enter_new_namespace();
    net::veth("gwfk0", "gwfk1", 1);
    for device in ["net_af_packet0,iface=gwfk0", "net_af_xdp0,iface=gwfk0"] {
        let mut notices = Vec::new();
        for _ in 0..3 {
            let (mut child, notice) = start(device);
            notices.push(notice);
            let wire = Wire::open("gwfk1");
            for number in 0..3 {
                wire.send(&frame(number, 100));
            }
            let echoed = wire.receive(3);
            child.kill().expect("SIGKILL");
            child.wait().expect("reaped");
            assert_eq!(left_behind(child.id()), [""; 0], "{device}");
            assert_eq!(echoed, [frame(0, 100), frame(1, 100), frame(2, 100)], "{device}");
        }
        assert!(net::output("ip link show gwfk0").contains("PROMISC"), "the flag outlives the process");
        let named = if device.contains("xdp") { "XDP program xsk_def_prog" } else { "promiscuous" };
        assert!(!notices[0].contains("xsk_def_prog"), "{notices:?}");
        assert!(notices[1..].iter().all(|notice| notice.contains(named)), "{notices:?}");
    }
    the_living_are_left_alone();
}

/// A second process on the same interface is refused, and the first does not notice.
fn the_living_are_left_alone() {
    let device = "net_af_xdp0,iface=gwfk0";
    let (mut child, _) = start(device);
    let eal = Eal::init(&EalConfig::default()).expect("EAL");
    let pool = Mempool::new(&eal, &MempoolConfig::default()).expect("pool");
    let config = PortConfig { device: device.into(), ..PortConfig::default() };
    let error = Port::attach(&eal, &config, &pool).expect_err("the child has it");
    assert!(matches!(error, PortError::Busy { .. }), "{error}");
    assert!(error.to_string().contains("gwfk0") && error.to_string().contains("ss --xdp"), "{error}");
    assert_eq!(pool.in_use(), 0);
    let wire = Wire::open("gwfk1");
    for number in 0..3 {
        wire.send(&frame(number, 100));
    }
    let echoed = wire.receive(3);
    child.kill().expect("SIGKILL");
    child.wait().expect("reaped");
    assert_eq!(echoed.len(), 3);
}

/// What DPDK is known to leave of a process, where it leaves it.
fn left_behind(process: u32) -> Vec<String> {
    let mine = format!("guideway-{process}");
    let mut names = Vec::new();
    for directory in ["/var/run/dpdk", "/dev/hugepages", "/dev/shm", "/tmp"] {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        names.extend(entries.map(|e| e.path().display().to_string()).filter(|n| n.contains(&mine)));
    }
    names
}

/// Starts this test again as the process to kill; returns when it is ready, with what it noticed.
fn start(device: &str) -> (Child, String) {
    let this = std::env::current_exe().expect("own path");
    let mut child = Command::new(this)
        .args(["--exact", "starts_again_at_once", "--nocapture"])
        .env(DEVICE, device)
        .stdout(Stdio::piped())
        .spawn()
        .expect("child");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let ready = lines.find_map(|line| line.expect("text").split_once("READY ").map(|(_, rest)| rest.to_owned()));
    (child, ready.unwrap_or_else(|| panic!("{device}: the child did not come up")))
}

/// The process to kill: sends every frame of the test back where it came from.
fn echo(device: &str) {
    let eal = Eal::init(&EalConfig::default()).expect("EAL");
    let pool = Mempool::new(&eal, &MempoolConfig::default()).expect("pool");
    let config = PortConfig { name: "edge".into(), device: device.into(), ..PortConfig::default() };
    let (port, mut rx, mut tx) = Port::attach(&eal, &config, &pool).expect("attach");
    println!("READY {:?}", port.notices());
    loop {
        let mut burst: Burst<_> = receive(&mut rx, 3).into_iter().collect();
        tx[0].transmit(&mut burst);
    }
}
