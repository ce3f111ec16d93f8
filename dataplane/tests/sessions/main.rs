//! Sessions against what a map, a queue and a list of free ports say.

mod ports;
mod table;
mod turnover;

use guideway_dataplane::hash::FlowHasher;
use guideway_dataplane::ids::{BackendId, LinkId, PoolId, VipId};
use guideway_dataplane::proxy::Proxy;
use guideway_dataplane::session::{Endpoint, LastHop, Session, TcpState, Tuple};
use guideway_dataplane::vip::address_bits;
use guideway_dataplane::wire::protocol;

/// The key of the tests.
fn hasher() -> FlowHasher {
    FlowHasher::new([5; 16])
}

fn end(address: &str, port: u16) -> Endpoint {
    Endpoint { address: address_bits(address.parse().expect("an address")), port }
}

fn tuple(source: Endpoint, destination: Endpoint) -> Tuple {
    Tuple { source, destination, protocol: protocol::TCP }
}

/// A session that can be told from others by its VIP.
fn session(number: u16) -> Session {
    Session {
        vip: VipId(number),
        pool: PoolId(0),
        index: 0,
        backend: BackendId(0),
        last_hop: LastHop { mac: [2, 0, 0, 0, 0, 1], link: LinkId(0) },
        tcp: TcpState::new(),
        expected: [0; 2],
        proxy: Proxy::NONE,
    }
}
