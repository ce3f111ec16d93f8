//! The largest configuration that the design promises, reloaded.

use guideway_config::model::Config;
use guideway_control::reconcile::reconcile;
use guideway_control::reload::diff;
use guideway_control::state::State;
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// VIPs, each with a pool of its own.
const VIPS: u32 = 1_000;
/// Backends of each.
const BACKENDS: u32 = 10;
/// Far more than it takes on a slow machine without optimization; what takes a second for each thing in the file is more.
const BOUND: Duration = Duration::from_secs(20);

/// VIPs `first` and those after it, with this weight of every tenth backend.
fn text(first: u32, weight: u32) -> String {
    let mut text = "[fleet]\nhash_key = \"5d1f40b27ce8936a80a1c7f2934be6d0\"\n[cores]\ncontrol = 0\nworkers = [1]\n\
        [[port]]\nname = \"edge\"\ndevice = \"net_null0\"\nmtu = 1520\n\
        [[interface]]\nport = \"edge\"\naddresses = [\"10.0.0.1/8\"]\n"
        .to_owned();
    for pool in first..first + VIPS {
        writeln!(text, "[[pool]]\nname = \"pool{pool}\"\nforward = \"ipip\"").expect("text");
        for backend in 0..BACKENDS {
            let weight = if backend == 0 { weight } else { 1 };
            let address = std::net::Ipv4Addr::from_bits(0x0a00_0100 + pool * BACKENDS + backend);
            writeln!(text, "[[pool.backend]]\naddress = \"{address}\"\nweight = {weight}").expect("text");
        }
        let address = std::net::Ipv4Addr::from_bits(0xcb00_0000 + pool);
        let vip = format!("address = \"{address}\"\nprotocol = \"tcp\"\nport = 443\npool = \"pool{pool}\"");
        writeln!(text, "[[vip]]\n{vip}").expect("text");
    }
    text
}

fn parsed(text: &str) -> Config {
    crate::file::parsed(text)
}

/// A hundred VIPs go, a hundred come, a thousand weights change.
#[test]
fn a_thousand_vips_and_ten_thousand_backends() {
    let mut state = State::new(Arc::new(parsed(&text(0, 1))), vec![PortState::new([2, 0, 0, 0, 0, 1])], UNIX_EPOCH)
        .expect("a state");
    reconcile(&mut state);
    let new = text(100, 3);
    let begun = Instant::now();
    let config = parsed(&new);
    let read = begun.elapsed();
    let plan = diff(&state.desired(), &config, state.pins.clock(), false).expect("a plan");
    let compared = begun.elapsed() - read;
    state.reload(&plan, Nanos(1), UNIX_EPOCH).expect("nothing stands against it");
    let snapshot = reconcile(&mut state);
    let taken = begun.elapsed();
    println!("reload: {taken:?}: read {read:?}, compared {compared:?}, applied {:?}", taken - read - compared);
    assert_eq!(plan.lines.len(), 4 * 100 + 900);
    assert_eq!((snapshot.pools.len(), state.config.vips.len()), (VIPS as usize, VIPS as usize));
    assert!(taken < BOUND, "{taken:?}");
}
