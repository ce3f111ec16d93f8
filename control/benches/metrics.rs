//! What a scrape costs: 1,000 VIPs and pools, 10,000 checked backends, four workers.
//!
//! `report` is the real-time thread's part, `take` the time under the control lock, `encode` what comes after it, on a
//! thread of its own. The size of the text is printed first.

use criterion::{Criterion, criterion_group, criterion_main};
use guideway_control::control::Control;
use guideway_control::devices::NoDevices;
use guideway_control::duties::duties;
use guideway_control::metrics::{Backends, Form, Sample, encode};
use guideway_control::reconcile::reconcile;
use guideway_control::rt::Rt;
use guideway_control::runtime::events;
use guideway_control::state::State;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::memory::{MemoryPool, MemoryPort};
use guideway_dataplane::publish;
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::time::Nanos;
use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

const VIPS: usize = 1_000;
const BACKENDS_EACH: usize = 10;
const WORKERS: usize = 4;

fn source() -> String {
    let mut text =
        "[fleet]\nhash_key = \"5d1f40b27ce8936a80a1c7f2934be6d0\"\n[cores]\ncontrol = 0\nworkers = [1, 2, 3, 4]\n\
        [[port]]\nname = \"edge\"\ndevice = \"net_null0\"\nmtu = 1520\n\
        [[interface]]\nport = \"edge\"\naddresses = [\"10.0.0.1/8\"]\n"
            .to_owned();
    for pool in 0..VIPS {
        writeln!(text, "[[pool]]\nname = \"pool{pool}\"\nforward = \"ipip\"").expect("text");
        for backend in 0..BACKENDS_EACH {
            let (middle, low) = (pool / 250 + 1, pool % 250 + 1);
            writeln!(
                text,
                "[[pool.backend]]\nname = \"web{pool}-{backend}\"\naddress = \"10.{middle}.{low}.{backend}\""
            )
            .expect("text");
        }
        let address = format!("203.0.{}.{}", pool / 250, pool % 250 + 1);
        writeln!(text, "[[vip]]\naddress = \"{address}\"\nprotocol = \"tcp\"\nport = 443\npool = \"pool{pool}\"")
            .expect("text");
    }
    text
}

fn scrape(criterion: &mut Criterion) {
    let config = guideway_config::parse(&source(), None).expect("a valid configuration").config;
    let mut state =
        State::new(Arc::new(config), vec![PortState::new([2, 0, 0, 0, 0, 1])], UNIX_EPOCH).expect("a state");
    let now = Nanos(1_000_000_000);
    let (sender, _events) = events();
    let mut rt: Rt<MemoryPort> = Rt::new(Vec::new(), Vec::new(), Arc::new(MemoryPool), [7; 16], sender);
    rt.configure(now, duties(&state)).expect("targets that can be probed");
    let (publisher, _readers) = publish::channel(reconcile(&mut state), WORKERS);
    let counters: Vec<_> = (0..WORKERS).map(|_| Arc::new(WorkerCounters::default())).collect();
    for of_worker in &counters {
        for id in 0..VIPS * BACKENDS_EACH {
            let traffic = of_worker.backend(BackendId(id as u16)).expect("an id");
            traffic.packets.add(1_000_000_007 * id as u64);
            traffic.bytes.add(700_000_000_009 * id as u64);
        }
    }
    let control = Control::new(state, publisher, counters, Arc::new(NoDevices));
    let sample = Arc::new(Sample::take(&control, rt.report(now)));
    for backends in [Backends::All, Backends::None] {
        let text = encode(&sample, backends, Form::OpenMetrics).expect("text");
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        println!("{backends:?}: {} bytes, {series} series", text.len());
    }
    criterion.bench_function("report", |bench| bench.iter(|| black_box(rt.report(now))));
    let report = rt.report(now);
    criterion.bench_function("take", |bench| {
        bench.iter_batched(
            || report.clone(),
            |report| Sample::take(&control, report),
            criterion::BatchSize::LargeInput,
        );
    });
    for backends in [Backends::All, Backends::None] {
        criterion.bench_function(&format!("encode {backends:?}"), |bench| {
            bench.iter(|| black_box(encode(&sample, backends, Form::OpenMetrics).expect("text")));
        });
    }
}

criterion_group!(benches, scrape);
criterion_main!(benches);
