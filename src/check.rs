//! `guideway check`.

use crate::Failure;
use guideway_config::memory::Memory;
use guideway_config::model::Config;
use guideway_config::{Intrinsics, Machine, Parsed, load};
use guideway_control::source_ports;
use guideway_dataplane::session::REST;
use guideway_dpdk::power;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Options of `check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check for another machine: cores need not exist on this one.
    #[arg(long)]
    any_machine: bool,
}

/// Loads a configuration for this machine (or any); prints its warnings.
pub(crate) fn load_config(path: &Path, machine: Option<&Machine>) -> Result<Config, Failure> {
    let Parsed { config, warnings } = load(path, machine).map_err(|failure| Failure::Usage(failure.to_string()))?;
    for warning in &warnings {
        eprintln!("{}", warning.at_path(path));
    }
    Ok(config)
}

/// The machine that this runs on: its cores, and what DPDK finds that its processor can do.
pub(crate) fn this_machine() -> Machine {
    let power::Intrinsics { pause, monitor, monitor_several } = power::Intrinsics::this();
    Machine::this().with_intrinsics(Intrinsics { pause, monitor, monitor_several })
}

/// A line for each `fullnat` pool: what its source ports allow.
fn new_connections(config: &Config) -> String {
    let mut lines = String::new();
    for pool in &config.pools {
        let of_backends = pool.backends.iter().filter_map(|backend| source_ports::total(pool, backend.address));
        let Some(ports) = of_backends.min() else { continue };
        let rest = REST.as_secs();
        let _ = writeln!(
            lines,
            "pool {}: {ports} source ports for each backend, which rest for {rest} s: at most {} new connections a second with it",
            pool.name,
            ports / rest,
        );
    }
    lines
}

pub(crate) fn check(args: &Args) -> Result<(), Failure> {
    let machine = (!args.any_machine).then(this_machine);
    let config = load_config(&args.config, machine.as_ref())?;
    let backends: usize = config.pools.iter().map(|pool| pool.backends.len()).sum();
    println!(
        "{}: good: {} ports, {} workers, {} VIPs, {} pools, {backends} backends",
        args.config.display(),
        config.ports.len(),
        config.cores.workers.len(),
        config.vips.len(),
        config.pools.len(),
    );
    println!("{}", Memory::of(&config));
    print!("{}", new_connections(&config));
    Ok(())
}
