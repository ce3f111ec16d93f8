//! Fragments by the hundred, and in any order.

use crate::rig::{GATEWAY, PORT_0, Rig, context, many_backends, syn};
use guideway_dataplane::craft::Craft;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::fragment::{HOLD_TIME, LIFETIME, MOST_FRAGMENTS, MOST_HELD};
use guideway_dataplane::time::Nanos;
use guideway_dataplane::wire::ipv4::MORE_FRAGMENTS;
use guideway_dataplane::wire::protocol;
use proptest::prelude::*;
use std::time::Duration;

const START: Nanos = Nanos(1_000_000_000);

/// A fragment of a UDP datagram to the VIP of `l2dsr`: `bytes` from `offset` on.
fn fragment(client: [u8; 4], offset: u16, bytes: &[u8], more: bool) -> Vec<u8> {
    let field = (offset / 8) | if more { MORE_FRAGMENTS } else { 0 };
    let packet = Craft::raw(client.into(), [203, 0, 113, 10].into(), protocol::UDP);
    packet.macs(PORT_0, GATEWAY).fragment(field).payload(bytes).frame()
}

/// The UDP datagram of a client, without IP header.
fn datagram(client: [u8; 4], len: usize) -> Vec<u8> {
    let packet = Craft::udp((client, 40_000).into(), ([203, 0, 113, 10], 53).into());
    packet.payload(&vec![0x61; len]).ip_packet()[20..].to_vec()
}

#[test]
fn a_full_hold_is_a_named_drop_and_costs_nobody_else() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    let count = MOST_HELD as u16 + 100;
    for number in 0..count {
        let [high, low] = number.to_be_bytes();
        rig.receive(0, &fragment([10, 9, high, low], 800, &[0; 64], true));
    }
    rig.receive(0, &syn(10_000, 10).frame());
    while rig.poll_at(START) > 0 {}
    assert_eq!(rig.counters.held.get() - rig.counters.released.get(), MOST_HELD as u64);
    assert_eq!(rig.all_drops(), [(DropReason::FragmentFull, 100)]);
    assert_eq!(rig.sent(0).len(), 1, "what is no fragment goes on");

    // Datagrams whose first fragment comes in time do not need the hold.
    let whole = datagram([192, 0, 2, 7], 100);
    rig.receive(0, &fragment([192, 0, 2, 7], 0, &whole[..64], true));
    rig.receive(0, &fragment([192, 0, 2, 7], 64, &whole[64..], false));
    rig.poll_at(START);
    assert_eq!(rig.sent(0).len(), 2);

    rig.poll_at(START + HOLD_TIME);
    assert_eq!(rig.drops(DropReason::FragmentExpired), MOST_HELD as u64);
    assert_eq!(rig.counters.released.get(), rig.counters.held.get());
    rig.receive(0, &fragment([192, 0, 2, 8], 800, &[0; 64], true));
    rig.poll_at(START + HOLD_TIME);
    assert_eq!(rig.counters.held.get() - rig.counters.released.get(), 1, "room again");
}

#[test]
fn a_datagram_of_too_many_fragments_is_cut_off() {
    let (mut rig, _publisher) = Rig::new(context().snapshot().unwrap());
    let whole = datagram([192, 0, 2, 7], 8 * usize::from(MOST_FRAGMENTS) + 80);
    for (number, bytes) in (0..).zip(whole.chunks(8)) {
        rig.receive(0, &fragment([192, 0, 2, 7], number * 8, bytes, true));
    }
    while rig.poll_at(START) > 0 {}
    let most = usize::from(MOST_FRAGMENTS);
    assert_eq!(rig.sent(0).len(), most);
    assert_eq!(rig.all_drops(), [(DropReason::FragmentTooMany, (whole.len().div_ceil(8) - most) as u64)]);
    // Over and done with.
    rig.receive(0, &fragment([192, 0, 2, 7], 0, &whole[..8], true));
    rig.poll_at(START + LIFETIME);
    assert_eq!(rig.sent(0).len(), 1);
}

/// The hardware address that a whole packet of a client goes to.
fn destination(rig: &mut Rig, client: [u8; 4]) -> Vec<u8> {
    let packet = Craft::udp((client, 40_000).into(), ([203, 0, 113, 10], 53).into());
    rig.receive(0, &packet.macs(PORT_0, GATEWAY).frame());
    rig.poll_at(START);
    rig.sent(0).pop().unwrap()[..6].to_vec()
}

/// So many datagrams, each cut into 2 to 6 fragments, all in some order.
fn shuffled() -> impl Strategy<Value = Vec<(u8, usize, usize)>> {
    let datagrams = prop::collection::vec(2_usize..7, 1..20);
    let fragments = datagrams.prop_map(|counts| {
        (0_u8..).zip(counts).flat_map(|(client, count)| (0..count).map(move |index| (client, index, count))).collect()
    });
    fragments.prop_flat_map(|fragments: Vec<_>| Just(fragments).prop_shuffle())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_fragment_goes_where_a_whole_packet_of_its_flow_goes(order in shuffled(), burst in 1_usize..40) {
        let (mut rig, _publisher) = Rig::new(many_backends().snapshot().unwrap());
        for some in order.chunks(burst) {
            for &(client, index, count) in some {
                let client = [192, 0, 2, client + 1];
                let whole = datagram(client, count * 32 - 8);
                rig.receive(0, &fragment(client, index as u16 * 32, &whole[index * 32..][..32], index + 1 < count));
            }
            rig.poll_at(START);
        }
        rig.poll_at(START + Duration::from_millis(1));
        let sent = rig.sent(0);
        prop_assert_eq!(rig.all_drops(), []);
        prop_assert_eq!(sent.len(), order.len());
        for frame in sent {
            let client = [frame[26], frame[27], frame[28], frame[29]];
            prop_assert_eq!(&frame[..6], destination(&mut rig, client));
        }
    }
}
