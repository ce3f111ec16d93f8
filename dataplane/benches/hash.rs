//! The flow hash: one at a time and in bursts, with AES instructions and without.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use guideway_dataplane::hash::{FlowHash, FlowHasher, FlowKey};
use guideway_dataplane::port::BURST;
use std::hint::black_box;

fn v4(i: usize) -> FlowKey {
    FlowKey::v4(6, [198, 51, 100, i as u8], [203, 0, 113, 10], 1_024 + i as u16, 80)
}

fn v6(i: usize) -> FlowKey {
    FlowKey::v6(6, [i as u8; 16], [0x20; 16], 1_024 + i as u16, 80)
}

fn mixed(i: usize) -> FlowKey {
    if i.is_multiple_of(2) { v4(i) } else { v6(i) }
}

type MakeFlow = fn(usize) -> FlowKey;

fn hash(c: &mut Criterion) {
    let key = [7; 16];
    let hashers = [("software", FlowHasher::software(key)), ("accelerated", FlowHasher::new(key))];

    let flows: [(&str, MakeFlow); 3] = [("v4", v4), ("v6", v6), ("mixed", mixed)];
    for (path, hasher) in &hashers {
        let mut group = c.benchmark_group(*path);
        group.throughput(Throughput::Elements(BURST as u64));
        for (family, flow) in flows {
            let keys: [FlowKey; BURST] = std::array::from_fn(flow);
            let mut hashes = [FlowHash::default(); BURST];
            group.bench_function(format!("{family}/burst of {BURST}"), |b| {
                b.iter(|| {
                    hasher.hash_burst(black_box(&keys), &mut hashes);
                    black_box(&hashes);
                });
            });
            group.bench_function(format!("{family}/one at a time, {BURST}"), |b| {
                b.iter(|| {
                    for key in &keys {
                        black_box(hasher.hash(black_box(key)));
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, hash);
criterion_main!(benches);
