//! The DPDK side of a start: EAL, pool, ports and their queues.

use crate::Failure;
use guideway_config::model::{Config, Forward, Idle, Port as PortConfig};
use guideway_control::devices::{DeviceCounters, Devices};
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::punt::{INJECT_DEPTH, PuntClass};
use guideway_dataplane::rss::Rss;
use guideway_dataplane::snapshot::PortState;
use guideway_dpdk::{Eal, EalConfig, Hugepages, Mempool, MempoolConfig, Port, RssSettings, RxQueue, TxQueue};
use std::sync::Arc;
use tracing::{info, warn};

/// Descriptors of each queue.
const DESCRIPTORS: u16 = 1_024;
/// Buffers that a worker or the control side may hold beyond queues and rings.
const IN_HAND: usize = 512;
/// Bytes beside its data that a buffer takes in the pool.
const OVERHEAD: usize = 256;
/// Bytes of a frame beyond the IP packet: Ethernet with two tags and frame check sequence.
const LAYER_2: usize = 26;
/// Bytes of an AF_PACKET slot beside the frame (packet(7), TPACKET2_HDRLEN and alignment), rounded up.
const AF_PACKET_HEADER: usize = 64;
/// Bytes of a buffer in front of the frame.
const HEADROOM: usize = 128;
/// The smallest data room that every driver takes.
const SMALLEST_ROOM: usize = 2_048 + HEADROOM;

/// The queues of one port: one of each kind for each worker that polls it, in that order; transmit queues for all
/// workers where the device is a real one.
pub(super) struct PortQueues {
    pub(super) rx: Vec<RxQueue>,
    pub(super) tx: Vec<TxQueue>,
}

/// Whether a device is a PCI function: it has a transmit queue for everyone. The drivers over kernel interfaces couple
/// the numbers of both kinds of queues.
pub(crate) fn is_pci(device: &str) -> bool {
    !device.starts_with("net_")
}

pub(super) fn start_eal(config: &Config, no_hugepages: bool) -> Result<Eal, Failure> {
    let eal = EalConfig {
        main_core: config.cores.control,
        hugepages: if no_hugepages { Hugepages::Never } else { Hugepages::Auto },
        memory_mb: memory_mb(config),
        pci: config.ports.iter().any(|port| is_pci(&port.device)),
        extra_args: config.extra_args.clone(),
        ..EalConfig::default()
    };
    Ok(Eal::init(&eal)?)
}

/// MiB that DPDK needs: the pool, and as much again for queues and drivers.
pub(crate) fn memory_mb(config: &Config) -> usize {
    (pool_size(config) as usize * (data_room(config) + OVERHEAD)).div_ceil(1 << 20) + 64
}

/// Buffers for every place where one can be at once: else a full ring somewhere would starve the receive queues.
fn pool_size(config: &Config) -> u32 {
    let queues: usize = config.ports.iter().map(|port| 2 * port.workers.len().max(1)).sum();
    let rings: usize = PuntClass::ALL.iter().map(|class| class.depth()).sum::<usize>() + INJECT_DEPTH;
    let buffers = queues * usize::from(DESCRIPTORS) + config.cores.workers.len() * (rings + IN_HAND) + IN_HAND;
    (buffers.next_power_of_two() - 1) as u32
}

/// Bytes of a buffer: the longest frame of any port, and headroom.
fn data_room(config: &Config) -> usize {
    let frame = |port: &PortConfig| {
        let frame = usize::from(port.mtu) + LAYER_2;
        // AF_PACKET hands frames over in slots of a power of two, whose header takes part of the next smaller one.
        if port.device.starts_with("net_af_packet") { (frame + AF_PACKET_HEADER).next_power_of_two() } else { frame }
    };
    (config.ports.iter().map(frame).max().unwrap_or(0) + HEADROOM).max(SMALLEST_ROOM)
}

pub(super) fn open_pool(eal: &Eal, config: &Config) -> Result<Mempool, Failure> {
    // Validation bounds the MTU far below what u16 holds.
    let data_room = data_room(config) as u16;
    let pool = MempoolConfig { size: pool_size(config), data_room, ..MempoolConfig::default() };
    Ok(Mempool::new(eal, &pool)?)
}

/// Attaches every port of the configuration.
pub(super) fn attach_ports(
    eal: &Eal,
    pool: &Mempool,
    config: &Config,
) -> Result<(DpdkDevices, Vec<PortQueues>), Failure> {
    let mut ports = Vec::with_capacity(config.ports.len());
    let mut queues = Vec::with_capacity(config.ports.len());
    for port in &config.ports {
        let (attached, of_port) = attach_port(eal, pool, config, port)?;
        ports.push(attached);
        queues.push(of_port);
    }
    Ok((DpdkDevices { ports, pool: pool.clone() }, queues))
}

fn attach_port(eal: &Eal, pool: &Mempool, config: &Config, port: &PortConfig) -> Result<(Port, PortQueues), Failure> {
    let pollers = port.workers.len();
    let senders = if is_pci(&port.device) { config.cores.workers.len() } else { pollers };
    let wanted = guideway_dpdk::PortConfig {
        name: port.name.clone(),
        device: port.device.clone(),
        mtu: port.mtu,
        rx_queues: pollers as u16,
        tx_queues: senders as u16,
        rx_descriptors: DESCRIPTORS,
        tx_descriptors: DESCRIPTORS,
        interrupts: config.cores.idle == Idle::Interrupt,
    };
    let (attached, rx, tx) = Port::attach(eal, &wanted, pool)?;
    for notice in attached.notices() {
        info!(port = %port.name, "{notice}");
    }
    let capabilities = attached.capabilities();
    if pollers > 1 && is_pci(&port.device) && !capabilities.rss {
        warn!(port = %port.name, "the device does not spread flows over queues (RSS): one worker gets all traffic");
    }
    Ok((attached, PortQueues { rx, tx }))
}

/// The ports, for the control side.
pub(super) struct DpdkDevices {
    ports: Vec<Port>,
    pool: Mempool,
}

impl DpdkDevices {
    /// What snapshots start from.
    pub(super) fn port_states(&self, config: &Config) -> Vec<PortState> {
        let state = |(port, of_config): (&Port, &PortConfig)| {
            let rss = port.rss().and_then(|settings| rss(&settings, &of_config.workers));
            if of_config.workers.len() > 1 && config.pools.iter().any(|pool| pool.forward == Forward::Fullnat) {
                let to =
                    if rss.is_some() { "the worker of their session" } else { "any worker, and hop: RSS is not known" };
                info!(port = %of_config.name, "answers of fullnat come to {to}");
            }
            let (up, rx_checksum) = (port.link().up, port.capabilities().rx_checksum);
            PortState { up, rx_checksum, rss: rss.map(Arc::new), ..PortState::new(port.mac()) }
        };
        self.ports.iter().zip(&config.ports).map(state).collect()
    }

    /// Buffers that drivers never give back.
    pub(super) fn buffers_kept(&self) -> u32 {
        self.ports.iter().map(Port::buffers_kept).sum()
    }
}

/// How a device whose queues belong to `workers`, in order, spreads flows over them. `None`: it names queues that nobody polls, or
/// chooses in a way that is not known.
fn rss(settings: &RssSettings, workers: &[usize]) -> Option<Rss> {
    let worker_of = |queue: &u16| u16::try_from(*workers.get(usize::from(*queue))?).ok().map(WorkerId);
    let table = settings.queues.iter().map(worker_of).collect::<Option<_>>()?;
    Rss::new(&settings.key, table, settings.hashes_ports)
}

impl Devices for DpdkDevices {
    fn link_up(&self, port: PortId) -> bool {
        self.ports.get(port.index()).is_some_and(|port| port.link().up)
    }

    fn driver(&self, port: PortId) -> String {
        self.ports.get(port.index()).map(|port| port.capabilities().driver.clone()).unwrap_or_default()
    }

    fn counters(&self, port: PortId) -> DeviceCounters {
        let stats = self.ports.get(port.index()).and_then(Port::stats).unwrap_or_default();
        DeviceCounters {
            received: stats.rx_packets,
            received_bytes: stats.rx_bytes,
            sent: stats.tx_packets,
            sent_bytes: stats.tx_bytes,
            missed: stats.rx_missed,
            receive_errors: stats.rx_errors,
            send_errors: stats.tx_errors,
            no_buffer: stats.rx_no_buffer,
        }
    }

    fn buffers(&self) -> (u64, u64) {
        (u64::from(self.pool.in_use()), u64::from(self.pool.size()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guideway_dataplane::hash::USUAL_KEY;
    use guideway_dataplane::rss::HashesPorts;

    const TCP: HashesPorts = HashesPorts { tcp_v4: true, udp_v4: false, tcp_v6: true, udp_v6: false };

    fn settings(queues: Vec<u16>) -> RssSettings {
        RssSettings { key: USUAL_KEY, queues, hashes_ports: TCP }
    }

    #[test]
    fn queues_are_those_of_the_ports_workers() {
        let table = [4, 2, 2, 4].map(WorkerId);
        assert_eq!(rss(&settings(vec![1, 0, 0, 1]), &[2, 4]), Rss::new(&USUAL_KEY, table.into(), TCP));
        assert!(rss(&settings(vec![1, 0, 0, 1]), &[2, 4]).is_some());
    }

    #[test]
    fn a_table_that_says_nothing_is_none() {
        for queues in [vec![0, 1, 2, 1], vec![0, 1, 0], vec![]] {
            assert_eq!(rss(&settings(queues.clone()), &[2, 4]), None, "{queues:?}");
        }
    }
}
