//! What the workers' sessions are made of, by a configuration.

use guideway_config::model::{Config, Forward, SessionsFull};
use guideway_dataplane::port::Port;
use guideway_dataplane::punt::ControlRings;
use guideway_dataplane::session::SessionRoom;
use guideway_dataplane::vip::address_bits;
use guideway_dataplane::worker::SessionParts;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The same for each worker, whose rings these are; `None` if no pool rewrites addresses.
#[must_use]
pub fn session_parts<P: Port>(config: &Config, rings: &[ControlRings<P>]) -> Option<SessionParts<P>> {
    if !config.pools.iter().any(|pool| pool.forward.is_nat()) {
        return None;
    }
    let peers = rings.iter().map(|rings| Arc::clone(&rings.inject)).collect();
    Some(SessionParts { room: room(config), sources: sources(config), peers })
}

/// What each worker has room for.
fn room(config: &Config) -> SessionRoom {
    let embryonic = (u64::from(config.sessions) * u64::from(config.embryonic_sessions)).div_ceil(100);
    SessionRoom {
        capacity: config.sessions,
        embryonic: u32::try_from(embryonic).unwrap_or(u32::MAX),
        evict_silent: config.sessions_full == SessionsFull::Evict,
        rate: config.connection_rate,
    }
}

/// The addresses that stand for clients: those that pools name, and own addresses where one names none.
fn sources(config: &Config) -> Box<[u128]> {
    let full = || config.pools.iter().filter(|pool| pool.forward == Forward::Fullnat);
    let named = full().flat_map(|pool| &pool.sources).copied();
    let own = config.interfaces.iter().flat_map(|interface| &interface.addresses).map(|net| net.addr());
    let own = own.filter(|_| full().any(|pool| pool.sources.is_empty()));
    let all: BTreeSet<IpAddr> = named.chain(own).collect();
    all.into_iter().map(address_bits).collect()
}
