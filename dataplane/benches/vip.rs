//! What a VIP lookup costs, by how many VIPs there are and by what takes the packet.

use criterion::{Criterion, criterion_group, criterion_main};
use guideway_dataplane::ids::{PoolId, VipId};
use guideway_dataplane::vip::{ServicePort, Steering, VipEntry, VipKey, VipService, VipTable, address_bits};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

/// Lookups of one measurement, of different addresses.
const LOOKUPS: u32 = 1_000;

fn service(number: u32, prefix_len: u8, port: ServicePort) -> VipService {
    let address = IpAddr::V4(Ipv4Addr::from_bits(0xcb00_0000 | number << (32 - u32::from(prefix_len))));
    let entry = VipEntry { vip: VipId(number as u16), pool: PoolId(0), steering: Steering::Flow };
    VipService { address, prefix_len, protocol: 6, port, entry }
}

fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("vip lookup");
    group.throughput(criterion::Throughput::Elements(LOOKUPS.into()));
    for count in [1, 1_000, 16_000] {
        for (name, prefix_len, port) in [
            ("exact", 32, ServicePort::Exact(80)),
            ("range", 32, ServicePort::Range(70..=90)),
            ("any port", 32, ServicePort::Any),
            ("prefix", 28, ServicePort::Exact(80)),
        ] {
            let services: Vec<_> = (0..count).map(|number| service(number, prefix_len, port.clone())).collect();
            let table = VipTable::new(&services);
            let keys: Vec<_> = (0..LOOKUPS)
                .map(|number| {
                    let address = services[(number.wrapping_mul(7_919) % count) as usize].address;
                    VipKey::new(address_bits(address), 6, 80)
                })
                .collect();
            group.bench_function(format!("{name}, {count} VIPs"), |bencher| {
                bencher.iter(|| keys.iter().filter(|key| table.lookup(black_box(**key)).is_some()).count());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, lookups);
criterion_main!(benches);
