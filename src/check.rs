//! `guideway check`.

use crate::Failure;
use guideway_config::memory::Memory;
use guideway_config::model::Config;
use guideway_config::{Machine, Parsed, load};
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

pub(crate) fn check(args: &Args) -> Result<(), Failure> {
    let machine = (!args.any_machine).then(Machine::this);
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
    Ok(())
}
