//! Files in a row under load: every packet arrives, whatever changes, and memory stays level.

use crate::settled_on;
use crate::support::{Bench, client_segment, config_text, segment_to};
use guideway_config::Parsed;
use guideway_control::reload::diff;
use std::path::Path;

const RELOADS: usize = 1_000;
/// Every so many of them have a file that is bad.
const BAD: usize = 10;
/// Steps from file to file, with a packet for each VIP in each.
const STEPS: usize = 100;
/// Backends of the network. The first two serve in every file.
const BACKENDS: u8 = 6;
const SYN: u8 = 2;
const SECOND: [u8; 4] = [203, 0, 113, 11];

/// The file of a round: weights, backends, and a VIP with a pool of its own before the other one, each in a rhythm of its own.
fn file(round: usize) -> String {
    let mut text = config_text(BACKENDS);
    for n in 3..=BACKENDS {
        if round % usize::from(n) == 1 {
            text = text.replace(&backend(n), "");
        }
    }
    let weighted = 1 + (round % 2) as u8;
    let with_weight = format!("{}weight = {}\n", backend(weighted), 1 + round % 5);
    text = text.replace(&backend(weighted), &with_weight);
    if has_second(round) {
        let name = format!("more{}", round % 8);
        text.push_str(&format!(
            "[[pool]]\nname = \"{name}\"\nforward = \"l2dsr\"\nhealth = {{ kind = \"none\" }}\n\
             idle_timeout = {{ tcp = \"500ms\" }}\nbackend = [{{ address = \"10.0.0.11\" }}, {{ address = \"10.0.0.12\" }}]\n\
             [[vip]]\naddress = \"203.0.113.11\"\nprotocol = \"tcp\"\nport = 80\npool = \"{name}\"\n"
        ));
    }
    text
}

fn backend(n: u8) -> String {
    format!("[[pool.backend]]\nname = \"web{n}\"\naddress = \"10.0.0.{}\"\n", 10 + n)
}

fn has_second(round: usize) -> bool {
    round % 4 > 1
}

fn is_bad(round: usize) -> bool {
    round % BAD == BAD - 1
}

/// Applies a file as a reload does; how many changes it made.
fn reload(bench: &mut Bench, path: &Path) -> Result<usize, String> {
    let Parsed { config, .. } = guideway_config::load(path, None).map_err(|failure| failure.to_string())?;
    let state = bench.control.state();
    let lines = |refusals: Vec<_>| format!("{refusals:?}");
    let plan = diff(&state.desired(), &config, state.pins.clock(), false).map_err(lines)?;
    bench.control.reload(&plan, bench.now).map_err(lines)?;
    Ok(plan.lines.len())
}

/// Resident memory of this process in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_thousand_reloads_under_load_lose_no_packet() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("guideway.toml");
    let config = guideway_config::parse(&file(0), None).expect("a valid configuration").config;
    let mut bench = settled_on(config, BACKENDS);
    let (mut offered, mut arrived, mut changed, mut bad) = (0, 0, 0, 0);
    let mut levels = vec![memory()];
    let mut second = false;
    for round in 1..=RELOADS {
        let before = bench.control.state().desired();
        if is_bad(round) {
            std::fs::write(&path, format!("{}\nweigth = 5\n", file(round))).expect("a folder");
            let error = reload(&mut bench, &path).expect_err("a bad file");
            assert!(error.contains("weigth"), "{error}");
            assert_eq!(bench.control.state().desired(), before, "{round}: a bad file changes nothing");
            bad += 1;
        } else {
            std::fs::write(&path, file(round)).expect("a folder");
            changed += reload(&mut bench, &path).unwrap_or_else(|error| panic!("{round}: {error}"));
            // One that leaves gets no packets from now on, one that comes gets them when workers use it.
            second = second && has_second(round);
        }
        for step in 0..STEPS {
            let port = 20_000 + (step % 50) as u16;
            assert!(bench.offer(&client_segment(port, SYN)));
            offered += 1;
            if second {
                assert!(bench.offer(&segment_to(SECOND, port, SYN)));
                offered += 1;
            }
            bench.step(true);
            second = if is_bad(round) { second } else { has_second(round) };
        }
        arrived += bench.arrivals.len();
        bench.arrivals.clear();
        bench.others.clear();
        assert_eq!(arrived, offered, "{round}: {} packets are lost", offered - arrived);
        if round % (RELOADS / 4) == 0 {
            levels.push(memory());
        }
    }
    println!(
        "{RELOADS} files, {bad} of them bad, {changed} changes; {offered} packets, none lost; resident KiB {levels:?}"
    );
    assert!(bad == RELOADS / BAD && changed > RELOADS, "{bad} bad files, {changed} changes");
    let (early, late) = (levels[1], levels[4]);
    assert!(late < early + early / 4, "memory grows: {levels:?} KiB");
}
