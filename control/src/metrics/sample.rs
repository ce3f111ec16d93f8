//! What a scrape needs to know, taken at one moment and then read without a lock.

use crate::consistency::phases::Counts;
use crate::consistency::plan::Waiting;
use crate::control::Control;
use crate::devices::DeviceCounters;
use crate::neighbor;
use crate::rt::Report;
use crate::source_ports::PortUse;
use crate::state::{BackendHealth, BackendState, PoolState};
use crate::status::checks::{Checks, checks, is_held, together};
use crate::status::model::CheckStatus;
use crate::status::pools::{current, is_settled, word};
use crate::traffic::Beginnings;
use guideway_config::model::{Config, Pool};
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::{BackendId, PortId, VipId};
use guideway_dataplane::table::Table;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How things are at one moment. Counters of workers are those of the moment when they are read.
#[derive(Debug)]
pub struct Sample {
    pub(super) config: Arc<Config>,
    /// In the order of the configuration's.
    pub(super) vip_ids: Vec<VipId>,
    pub(super) counters: Vec<Arc<WorkerCounters>>,
    pub(super) beginnings: Beginnings,
    pub(super) report: Report,
    pub(super) pools: Vec<PoolSample>,
    pub(super) ports: Vec<PortSample>,
    /// Seconds since 1970.
    pub(super) started: f64,
    pub(super) generation: u64,
    pub(super) acknowledged: u64,
    pub(super) pins_capacity: u64,
    pub(super) pins_in_use: u64,
    pub(super) buffers: (u64, u64),
}

#[derive(Debug)]
pub(super) struct PoolSample {
    /// What workers use now.
    pub(super) table: Table,
    /// The table with every backend up.
    pub(super) undisturbed: Table,
    pub(super) phases: Counts,
    pub(super) waiting: Option<Waiting>,
    pub(super) settled: bool,
    /// In the order of the configuration's.
    pub(super) backends: Vec<BackendSample>,
}

#[derive(Debug)]
pub(super) struct BackendSample {
    pub(super) id: BackendId,
    pub(super) state: &'static str,
    pub(super) is_up: bool,
    pub(super) takes_new: bool,
    pub(super) pins: u32,
    pub(super) transitions: u64,
    pub(super) check: Option<CheckStatus>,
    /// `None`: its pool is not `fullnat`.
    pub(super) source_ports: Option<PortUse>,
}

#[derive(Debug)]
pub(super) struct PortSample {
    pub(super) up: bool,
    pub(super) counters: DeviceCounters,
}

impl Sample {
    /// Takes one; `report` is the real-time thread's part.
    #[must_use]
    pub fn take(control: &Control, report: Report) -> Self {
        let state = control.state();
        let checks = checks(&report);
        let devices = control.devices();
        let port = |(id, up)| PortSample { up, counters: devices.counters(PortId(id)) };
        Self {
            config: Arc::clone(&state.config),
            vip_ids: state.vip_ids.clone(),
            counters: control.counters().to_vec(),
            beginnings: control.beginnings().clone(),
            pools: state
                .pools
                .iter()
                .zip(&state.config.pools)
                .map(|(pool, of_config)| pool_sample(control, pool, of_config, &checks))
                .collect(),
            ports: (0..).zip(state.ports.iter().map(|port| port.up)).map(port).collect(),
            started: unix(control.started_at()),
            generation: control.generation(),
            acknowledged: control.acknowledged(),
            pins_capacity: state.pins.capacity() as u64,
            pins_in_use: control.pins_in_use().min(state.pins.capacity() as u64),
            buffers: devices.buffers(),
            report,
        }
    }

    /// How many backends there are.
    #[must_use]
    pub(super) fn backends(&self) -> usize {
        self.pools.iter().map(|pool| pool.backends.len()).sum()
    }

    /// Next hops in a state.
    pub(super) fn neighbors(&self, state: neighbor::State) -> usize {
        self.report.neighbors.iter().filter(|neighbor| neighbor.state == state).count()
    }
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

fn pool_sample(control: &Control, pool: &PoolState, of_config: &Pool, checks: &Checks<'_>) -> PoolSample {
    let source_ports = |backend: &BackendState, address| control.source_ports_of(of_config, address, backend.id);
    let phases = pool.plan.phases();
    PoolSample {
        table: current(pool).clone(),
        undisturbed: pool.plan.undisturbed().clone(),
        // At rest there is nothing to count, and a thousand tables to walk.
        phases: if phases.special() == 0 { Counts::default() } else { phases.counts() },
        waiting: pool.plan.waiting(),
        settled: is_settled(control, pool),
        backends: pool
            .backends
            .iter()
            .zip(&of_config.backends)
            .map(|(backend, named)| backend_sample(backend, source_ports(backend, named.address), checks))
            .collect(),
    }
}

fn backend_sample(backend: &BackendState, source_ports: Option<PortUse>, checks: &Checks<'_>) -> BackendSample {
    let known = checks.get(&backend.id).map_or(&[][..], Vec::as_slice);
    BackendSample {
        id: backend.id,
        state: word(backend, is_held(known)),
        is_up: backend.health != BackendHealth::Down,
        takes_new: !backend.is_draining() && !backend.forced,
        pins: backend.pins,
        transitions: backend.transitions,
        check: together(known),
        source_ports,
    }
}
