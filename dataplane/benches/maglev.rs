//! Building tables of 65,537 slots, and what a health event costs. Prints balance and disruption first.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::table::{BaseTable, Table, TableBackend};
use std::hint::black_box;

const SIZE: u32 = 65_537;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("backend-{i}.example.net")).collect()
}

/// Backends of the given weights, in turn.
fn pool<'a>(names: &'a [String], weights: &[u32]) -> Vec<TableBackend<'a>> {
    names.iter().zip(weights.iter().cycle()).map(|(name, &weight)| TableBackend { name, weight }).collect()
}

fn largest_over_mean(table: &Table, backends: usize) -> f64 {
    let mut shares = vec![0_u32; backends];
    table.slots().iter().for_each(|slot| shares[slot.index()] += 1);
    let most = shares.iter().max().copied().unwrap_or(0);
    let serving = shares.iter().filter(|&&share| share > 0).count();
    f64::from(most) * serving as f64 / f64::from(SIZE)
}

fn moved(a: &Table, b: &Table) -> usize {
    a.slots().iter().zip(b.slots()).filter(|(a, b)| a != b).count()
}

fn print_quality(hasher: &FlowHasher) {
    println!("slots {SIZE}, equal weights; balance is the largest share over the mean");
    for count in [10, 100, 1_000] {
        let names = names(count);
        let Ok(base) = BaseTable::build(&pool(&names, &[1]), hasher, SIZE) else { continue };
        let Ok(plain) = BaseTable::build(&pool(&names[1..], &[1]), hasher, SIZE) else { continue };
        let one_down = base.with_eligible(&up(count, 1));
        let half_down = base.with_eligible(&up(count, count / 2));
        let owned = base.table().slots().iter().filter(|slot| slot.index() == 0).count();
        let replaced = plain.table().slots().iter().zip(base.table().slots());
        let by_rebuild = replaced.filter(|(new, old)| new.index() + 1 != old.index()).count();
        println!(
            "{count:5} backends: balance {:.4}; one down: {} of its {owned} slots moved (a rebuild moves {by_rebuild}), \
             balance {:.4}; half down: {} moved, balance {:.4}",
            largest_over_mean(base.table(), count),
            moved(base.table(), &one_down),
            largest_over_mean(&one_down, count),
            moved(base.table(), &half_down),
            largest_over_mean(&half_down, count),
        );
    }
}

/// All are up but the first few.
fn up(count: usize, down: usize) -> Vec<bool> {
    (0..count).map(|i| i >= down).collect()
}

fn maglev(c: &mut Criterion) {
    let hasher = FlowHasher::new([7; 16]);
    print_quality(&hasher);
    let mut group = c.benchmark_group("maglev");
    group.sample_size(30);
    for (kind, weights) in [
        ("equal", &[1][..]),
        ("weights 1 and 3", &[1, 3]),
        ("weights 1 to 100", &std::array::from_fn::<u32, 100, _>(|i| i as u32 + 1)),
    ] {
        for count in [10, 100, 1_000] {
            let names = names(count);
            let backends = pool(&names, weights);
            let Ok(base) = BaseTable::build(&backends, &hasher, SIZE) else { continue };
            group.bench_function(format!("{kind}/{count} backends/build"), |b| {
                b.iter_batched(
                    || (),
                    |()| BaseTable::build(black_box(&backends), &hasher, SIZE),
                    BatchSize::LargeInput,
                );
            });
            for (event, down) in [("one down", 1), ("half down", count / 2)] {
                let eligible = up(count, down);
                group.bench_function(format!("{kind}/{count} backends/{event}"), |b| {
                    b.iter_batched(|| (), |()| base.with_eligible(black_box(&eligible)), BatchSize::LargeInput);
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, maglev);
criterion_main!(benches);
