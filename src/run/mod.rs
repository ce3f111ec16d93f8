//! `guideway run`: EAL, pool, ports, workers, control threads, in this order; taken apart in the reverse one.

pub(crate) mod devices;
mod exception;
mod idling;
mod signals;
mod threads;
mod watchdog;
mod workers;

use crate::Failure;
use crate::check::{load_config, this_machine};
use anyhow::Context;
use devices::{DpdkDevices, attach_ports, open_pool, start_eal};
use guideway_config::model::{Config, Idle, Power};
use guideway_control::api::{Listener, Socket};
use guideway_control::audit::Audit;
use guideway_control::control::Control;
use guideway_control::devices::Devices;
use guideway_control::reconcile::reconcile;
use guideway_control::reload::run::{Ask, Source};
use guideway_control::rt::Rt;
use guideway_control::runtime::{self, Parts, Runtime};
use guideway_control::saved::Saved;
use guideway_control::state::State;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::publish;
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::wire::ethernet::format_mac;
use guideway_dpdk::{Dpdk, Eal, Mempool, Tsc};
use signals::{Request, Signals};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
pub(crate) use threads::{enter_bg, enter_rt, enter_worker, pin};
use tracing::{error, info, warn};
use watchdog::Watchdog;
use workers::Workers;

/// How long packets in flight inside the process may take to come home at the end.
const SETTLE: Duration = Duration::from_millis(500);

/// VIPs that the banner lists: it is one screen.
const VIPS_SHOWN: usize = 12;

/// Options of `run`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Run without hugepages even if there are some.
    #[arg(long)]
    no_hugepages: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    start_log();
    let machine = this_machine();
    let config = Arc::new(load_config(&args.config, Some(&machine))?);
    let signals = Signals::install().context("cannot install signal handlers")?;
    let socket = Socket::bind(&config.socket)?;
    if socket.replaced {
        info!(socket = %config.socket.display(), "replaced the control socket that a process left which is gone");
    }
    let listener = config.listen.as_ref().map(Listener::bind).transpose()?;
    pin(config.cores.control);
    let eal = start_eal(&config, args.no_hugepages)?;
    let pool = open_pool(&eal, &config)?;
    let source = Source { path: args.config.clone(), machine: Some(machine) };
    let kept = serve(&eal, &pool, &config, (socket, listener, source), &signals)?;
    report_buffers(&pool, kept);
    Ok(())
}

/// Everything between the pool's opening and its closing. Returns how many buffers drivers keep for themselves.
fn serve(
    eal: &Eal,
    pool: &Mempool,
    config: &Arc<Config>,
    (socket, listener, source): (Socket, Option<Listener>, Source),
    signals: &Signals,
) -> Result<u32, Failure> {
    let audit = Audit::start(config)?;
    let (devices, queues) = attach_ports(eal, pool, config)?;
    let clock = Tsc::calibrate();
    let mut state = State::new(Arc::clone(config), devices.port_states(config), SystemTime::now())?;
    if let Some(path) = &config.state_file {
        remember(path, config, &mut state);
    }
    let snapshot = reconcile(&mut state);
    let (publisher, readers) = publish::channel(snapshot, config.cores.workers.len());
    let counters: Vec<_> = config.cores.workers.iter().map(|_| Arc::new(WorkerCounters::default())).collect();
    let workers = Workers::new(config, queues, readers, &counters, &Arc::new(pool.clone()), secret()?, clock)?;
    let (sender, events) = runtime::events();
    let (kernel, exchange) = exception::open(config, &state.ports)?;
    let rt = Rt::<Dpdk>::new(workers.rings(), counters.clone(), Arc::new(pool.clone()), secret()?, sender);
    let rt = rt.with_kernel(kernel);
    let devices = Arc::new(devices);
    print_banner(config, eal, &devices, &state.ports);
    // Each packet of a flow that has a pin reads another line of it.
    guideway_dpdk::prefer_huge_pages(state.pins.memory());
    let watched = counters.clone();
    let control = Control::new(state, publisher, counters, Arc::clone(&devices) as Arc<dyn Devices>)
        .with_doorbells(workers.doorbells())
        .with_file(Arc::clone(config))
        .with_audit(audit);

    let running = workers.start(eal, config, clock).context("cannot start the workers")?;
    let core = config.cores.control;
    let shared = config.cores.workers.contains(&core);
    let parts = Parts {
        control,
        rt,
        events,
        socket: Some(socket),
        listener,
        source: Some(source),
        exchange,
        clock: move || clock.now(),
        stop: Box::new(signals::stop),
        enter_rt: Box::new(move || enter_rt(core, shared)),
        enter_bg: Box::new(move || enter_bg(core)),
        enter_checks: Box::new(move || pin(core)),
        enter_exception: Box::new(move || pin(core)),
    };
    let control = runtime::start(parts).context("cannot start the control threads")?;
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    info!("ready");
    std::thread::scope(|scope| {
        let _watchdog = Watchdog::start(scope, &control, watched);
        while signals.wait() == Request::Reload {
            reload(&control);
        }
    });
    info!("stopping");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    drop(control);
    running.stop();
    Ok(devices.buffers_kept())
}

/// Takes over what operators changed before the last end. A file that is damaged never stops a start.
fn remember(path: &Path, config: &Config, state: &mut State) {
    match Saved::load(path) {
        Ok(None) => info!(file = %path.display(), "no changes at run time are kept yet"),
        Ok(Some(saved)) => {
            saved.lines().iter().for_each(|line| info!("kept from before: {line}"));
            let untaken = saved.apply(config, state, SystemTime::now());
            untaken.iter().for_each(|line| warn!("not taken over: {line}"));
        }
        Err(error) => error!(%error, "state file"),
    }
}

/// Applies the changed file. What comes of it is in the log; a file that is refused changes nothing.
fn reload(control: &Runtime) {
    let mut begun = vec![sd_notify::NotifyState::Reloading];
    begun.extend(sd_notify::NotifyState::monotonic_usec_now());
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&begun);
    match control.reload(Ask::default()) {
        Ok(outcome) => outcome.warnings.iter().for_each(|warning| warn!("reload: {warning}")),
        Err(refused) => {
            refused.to_string().lines().for_each(|line| error!("reload: {line}"));
            error!("reload: refused; nothing changed");
        }
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // Colors are for people at a terminal, not for files and journals.
    let colors = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    log.with_ansi(colors).with_writer(std::io::stderr).init();
}

/// A key that belongs to this process alone: of probe cookies, and of the table of fragments.
fn secret() -> Result<[u8; 16], Failure> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| Failure::Runtime(anyhow::anyhow!("no randomness: {error}")))?;
    Ok(key)
}

/// One screen: what this process does.
fn print_banner(config: &Config, eal: &Eal, devices: &DpdkDevices, ports: &[PortState]) {
    let memory = if eal.has_hugepages() {
        "hugepages"
    } else {
        "no hugepages: more TLB misses, and physical NICs do not work; reserve some in /proc/sys/vm/nr_hugepages"
    };
    println!("guideway {} on {}, {memory}", env!("CARGO_PKG_VERSION"), eal.version());
    let idle = match (config.cores.idle, config.cores.power) {
        (Idle::Poll, Power::Off) => "polling without pause",
        (Idle::Poll, Power::Pause) => "polling with pauses",
        (Idle::Poll, Power::Monitor) => "polling when the device wrote",
        (Idle::Adaptive, _) => "backing off when idle",
        (Idle::Interrupt, _) => "asleep when idle",
    };
    println!("  control on core {}, workers on cores {:?}, {idle}", config.cores.control, config.cores.workers);
    for (index, (port, state)) in (0..).zip(config.ports.iter().zip(ports)) {
        let cores: Vec<_> = port.workers.iter().map(|worker| config.cores.workers[*worker]).collect();
        let mac = format_mac(state.mac);
        let link = if state.up { "up" } else { "DOWN" };
        let driver = devices.driver(PortId(index));
        println!(
            "  port {}: {} ({driver}), {mac}, link {link}, mtu {}, polled by cores {cores:?}",
            port.name, port.device, port.mtu
        );
    }
    for vip in config.vips.iter().take(VIPS_SHOWN) {
        let pool = &config.pools[vip.pool];
        println!("  vip {vip} -> pool {} ({}, {} backends)", pool.name, pool.forward, pool.backends.len());
    }
    if config.vips.len() > VIPS_SHOWN {
        println!("  and {} more VIPs", config.vips.len() - VIPS_SHOWN);
    }
}

/// Says whether every buffer came home but those that drivers are known to keep: one that did not is a bug.
fn report_buffers(pool: &Mempool, kept: u32) {
    let deadline = std::time::Instant::now() + SETTLE;
    while pool.in_use() > kept && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    match pool.in_use().saturating_sub(kept) {
        0 => info!(buffers = pool.size(), kept, "stopped; every packet buffer is accounted for"),
        lost => warn!(lost, kept, "stopped; packet buffers are missing"),
    }
}
