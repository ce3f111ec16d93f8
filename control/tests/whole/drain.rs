//! The drain of a machine as the segment sees it: nobody is told the way to VIPs, own addresses go on.

use crate::echo_request;
use crate::support::{Bench, ROUTER_MAC, STEP, client_segment, config_text};
use guideway_control::drain::Ask;
use guideway_control::neighbor::wire::{self, Arp, MAX_MESSAGE, Message, Operation};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const ROUTER: &str = "10.0.0.254";
const VIPS: [&str; 3] = ["203.0.113.10", "10.0.0.100", "fd00::100"];
const OWN: [&str; 2] = ["10.0.0.1", "fd00::1"];
const WHILE: Duration = Duration::from_secs(1);
/// Longer than what is new is announced, repeats and all.
const ANNOUNCING: Duration = Duration::from_secs(4);

/// A VIP that is announced everywhere, one in the subnet of each family.
fn bench() -> Bench {
    let text = config_text(2)
        .replace("\"10.0.0.1/24\"", "\"10.0.0.1/24\", \"fd00::1/64\"")
        .replace("port = 80\npool = \"web\"", "port = 80\npool = \"web\"\nannounce = \"arp\"");
    let vips = ["10.0.0.100", "fd00::100"].map(|address| {
        format!("[[vip]]\naddress = \"{address}\"\nprotocol = \"tcp\"\nport = 80\npool = \"{}\"\n", pool_of(address))
    });
    let six = "[[pool]]\nname = \"six\"\nforward = \"l2dsr\"\nhealth = { kind = \"none\" }\nidle_timeout = { tcp = \"500ms\" }\n\
               backend = [{ address = \"fd00::11\" }]\n";
    let config = guideway_config::parse(&format!("{text}{six}{}", vips.concat()), None);
    let mut bench = Bench::of(config.expect("a valid configuration").config, 2);
    bench.run(ANNOUNCING, true);
    bench.others.clear();
    bench
}

fn pool_of(address: &str) -> &'static str {
    if address.contains(':') { "six" } else { "web" }
}

/// Who has this address? As a router asks.
fn question(target: &str) -> Vec<u8> {
    match target.parse().expect("an address") {
        IpAddr::V4(target) => {
            let sender = ROUTER.parse().expect("an address");
            let operation = Operation::Request;
            let arp = Arp { operation, sender_mac: ROUTER_MAC, sender, target_mac: [0; 6], target };
            wire::write_arp(&mut [0; MAX_MESSAGE], wire::BROADCAST, &arp).to_vec()
        }
        IpAddr::V6(target) => {
            let group = wire::solicited_node(target);
            let (mac, source) = (wire::group_mac(group), "fe80::fe".parse().expect("an address"));
            wire::write_solicit(&mut [0; MAX_MESSAGE], ROUTER_MAC, source, (mac, group), target).to_vec()
        }
    }
}

/// The addresses of ours that frames tell the way to, in order.
fn told(bench: &mut Bench) -> Vec<IpAddr> {
    let frames = std::mem::take(&mut bench.others);
    let of = |frame: &Vec<u8>| match wire::parse(frame).ok()? {
        Message::Arp(arp) if arp.operation == Operation::Reply || arp.sender == arp.target => Some(arp.sender.into()),
        Message::Advert(advert) => Some(advert.target.into()),
        Message::Arp(_) | Message::Solicit(_) => None,
    };
    frames.iter().filter_map(of).collect()
}

/// Asks for an address; who answers.
fn ask(bench: &mut Bench, target: &str) -> Vec<IpAddr> {
    assert!(bench.offer(&question(target)));
    bench.run(STEP * 20, true);
    told(bench)
}

fn is_told(bench: &mut Bench, target: &str) -> bool {
    let found = ask(bench, target);
    assert!(found.iter().all(|address| address.to_string() == target), "asked for {target}: {found:?}");
    !found.is_empty()
}

/// An echo request to an address; whether it is answered.
fn echoes(bench: &mut Bench, target: Ipv4Addr) -> bool {
    let mut frame = echo_request();
    frame[30..34].copy_from_slice(&target.octets());
    smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    assert!(bench.offer(&frame));
    bench.run(STEP * 20, true);
    let frames = std::mem::take(&mut bench.others);
    frames.iter().any(|frame| frame[12..14] == [8, 0] && frame[23] == 1 && frame[26..30] == target.octets())
}

#[test]
fn a_machine_that_drains_is_silent_about_vips_and_not_about_itself() {
    let mut bench = bench();
    for address in VIPS.iter().chain(&OWN) {
        assert!(is_told(&mut bench, address), "{address} before the drain");
    }
    assert!(echoes(&mut bench, Ipv4Addr::new(203, 0, 113, 10)));

    bench.control.drain(Ask::default(), bench.now).expect("times that can be");
    bench.run(STEP, true);
    bench.others.clear();
    for address in VIPS {
        assert!(!is_told(&mut bench, address), "{address} during the drain");
    }
    for address in OWN {
        assert!(is_told(&mut bench, address), "{address} during the drain");
    }
    assert!(!echoes(&mut bench, Ipv4Addr::new(203, 0, 113, 10)));
    assert!(echoes(&mut bench, Ipv4Addr::new(10, 0, 0, 1)));
    bench.run(WHILE, true);
    assert_eq!(told(&mut bench), [] as [IpAddr; 0], "nothing is announced");
    let before = bench.arrivals.len();
    assert!(bench.offer(&client_segment(20_000, 2)));
    bench.run(STEP, true);
    assert_eq!(bench.arrivals.len(), before + 1, "what still arrives is forwarded");

    assert!(bench.control.cancel_drain());
    bench.run(ANNOUNCING, true);
    let announced = told(&mut bench);
    for address in VIPS {
        assert!(announced.contains(&address.parse().expect("an address")), "{address}: {announced:?}");
        assert!(is_told(&mut bench, address), "{address} after the drain");
    }
}
