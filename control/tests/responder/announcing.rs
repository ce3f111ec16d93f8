//! Gratuitous ARP and unsolicited advertisements.

use crate::frames::{LINK, ME, SECOND, START, hex, ip, links, net, responder, vips};
use guideway_config::model::Announce;
use guideway_control::neighbor::Link;
use guideway_control::neighbor::wire::{self, Message};
use guideway_control::responder::Responder;
use guideway_dataplane::ids::LinkId;
use guideway_dataplane::time::Nanos;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

type Sent = (Nanos, LinkId, IpAddr, Vec<u8>);

/// Polls whenever the responder asks for it; what was announced, in order.
fn run(responder: &mut Responder, start: Nanos, time: Duration) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut now = start;
    while let Some(next) = responder.next_due(now).filter(|next| *next <= start + time) {
        now = next;
        let before = sent.len();
        responder.poll(now, &mut |link, frame| {
            let address = match wire::parse(frame).expect("a valid message") {
                Message::Arp(arp) => IpAddr::V4(arp.sender),
                Message::Advert(advert) => IpAddr::V6(advert.target),
                Message::Solicit(_) => panic!("an announcement asks nothing"),
            };
            sent.push((now, link, address, frame.to_vec()));
        });
        assert!(sent.len() - before <= 32, "a burst");
    }
    sent
}

fn times(sent: &[Sent]) -> HashMap<(LinkId, IpAddr), Vec<Nanos>> {
    let mut times = HashMap::<_, Vec<_>>::new();
    for (at, link, address, _) in sent {
        times.entry((*link, *address)).or_default().push(*at);
    }
    times
}

fn expected() -> Vec<(LinkId, IpAddr)> {
    let mut keys = vec![
        (LINK, ip("10.0.0.1")),
        (LINK, ip("10.0.0.100")),
        (LINK, ip("203.0.113.10")),
        (LINK, ip("fd00::1")),
        (LINK, ip("fd00::100")),
        (SECOND, ip("10.1.0.1")),
        (SECOND, ip("203.0.113.10")),
    ];
    keys.sort();
    keys
}

fn keys(sent: &[Sent]) -> Vec<(LinkId, IpAddr)> {
    let mut keys: Vec<_> = times(sent).into_keys().collect();
    keys.sort();
    keys
}

// The expected bytes were made with another packet library.
#[test]
fn announcements_byte_for_byte() {
    let sent = run(&mut responder(), START, Duration::ZERO);
    let frame = |address| &sent.iter().find(|sent| sent.2 == ip(address)).unwrap().3;
    let arp = "ffffffffffff020000000001080600010800060400010200000000010a0000640000000000000a000064\
               000000000000000000000000000000000000";
    assert_eq!(*frame("10.0.0.100"), hex(arp));
    let ndp = "33330000000102000000000186dd6000000000203afffd000000000000000000000000000100\
               ff0200000000000000000000000000018800589d20000000fd0000000000000000000000000001000201020000000001";
    assert_eq!(*frame("fd00::100"), hex(ndp));
}

#[test]
fn every_address_is_announced_three_times_a_second_apart() {
    let mut responder = responder();
    let sent = run(&mut responder, START, LONG);
    assert_eq!(keys(&sent), expected());
    for (key, at) in times(&sent) {
        let offsets: Vec<_> = at.iter().map(|at| at.since(START).as_secs()).collect();
        assert_eq!(offsets, [0, 1, 2], "{key:?}");
    }
    assert_eq!(responder.counters().announcements, 21);
}

#[test]
fn announcing_again_starts_over_without_doubling() {
    let mut responder = responder();
    responder.announce_all(START);
    run(&mut responder, START, Duration::from_millis(1_500));
    let later = START + Duration::from_millis(1_500);
    responder.announce_all(later);
    responder.announce_all(later);
    let sent = run(&mut responder, later, LONG);
    assert_eq!(keys(&sent), expected());
    assert!(times(&sent).values().all(|at| at.len() == 3));
}

#[test]
fn a_late_poll_does_not_send_the_repeats_at_once() {
    let mut responder = responder();
    let later = START + Duration::from_secs(5);
    let sent = run(&mut responder, later, Duration::ZERO);
    assert_eq!(sent.len(), expected().len());
}

#[test]
fn a_returning_port_announces_its_own_links_only() {
    let mut responder = responder();
    run(&mut responder, START, LONG);
    let later = START + LONG;
    responder.announce(later, |link| link == SECOND);
    let sent = run(&mut responder, later, LONG);
    assert_eq!(keys(&sent), [(SECOND, ip("10.1.0.1")), (SECOND, ip("203.0.113.10"))]);
    assert!(times(&sent).values().all(|at| at.len() == 3));
}

#[test]
fn a_reload_announces_what_is_new_and_silences_what_is_gone() {
    let mut responder = responder();
    let mut vips = vips();
    vips.push((net("10.0.0.102"), Announce::Auto));
    vips.retain(|vip| vip.0 != net("10.0.0.100"));
    run(&mut responder, START, Duration::ZERO);
    responder.configure(START, &links(), &vips);
    let sent = run(&mut responder, START, LONG);
    let times = times(&sent);
    assert!(!times.contains_key(&(LINK, ip("10.0.0.100"))));
    assert_eq!(times[&(LINK, ip("10.0.0.102"))].len(), 3);
    assert_eq!(times[&(LINK, ip("10.0.0.1"))].len(), 2, "the first was before the reload");
    let later = START + LONG;
    responder.configure(later, &links(), &vips);
    assert_eq!(responder.next_due(later), None, "nothing changed");
}

#[test]
fn a_new_mac_is_announced() {
    let mut responder = responder();
    run(&mut responder, START, LONG);
    let [first, second] = links();
    let changed = [Link { mac: [2, 0, 0, 0, 0, 0x33], ..first }, second];
    let later = START + LONG;
    responder.configure(later, &changed, &vips());
    let sent = run(&mut responder, later, LONG);
    assert!(sent.iter().all(|sent| sent.1 == LINK && sent.3[6..12] != ME));
    assert_eq!(sent.len(), 3 * 5);
}

#[test]
fn a_thousand_vips_are_spread_and_done_within_a_second() {
    let vips: Vec<_> =
        (0..1_000).map(|i| (IpAddr::V4(Ipv4Addr::from(0xcb00_0000 + i)).into(), Announce::Arp)).collect();
    let mut responder = Responder::new();
    responder.configure(START, &links()[..1], &vips);
    let sent = run(&mut responder, START, LONG);
    let times = times(&sent);
    assert_eq!(times.len(), 1_002);
    for at in times.values() {
        assert_eq!(at.len(), 3);
        assert!(at[0].since(START) < Duration::from_secs(1));
        assert!(at.windows(2).all(|pair| pair[1].since(pair[0]) >= Duration::from_secs(1)));
    }
}
