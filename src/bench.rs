//! `guideway bench`: measures this machine, and what changes do to flows.

mod churn;
mod compare;
mod cycles;
mod maglev;
mod ndr;
mod options;
mod output;
mod probes;
mod reconfig;
mod report;
mod rig;
mod scale;
mod scrape;
mod wake;

use crate::Failure;
use clap::Subcommand;

/// Options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Cycles per packet of the worker loop, and of the same loop without the dataplane.
    Cycles(Box<cycles::Args>),
    /// Simulates flows while backends come and go, and counts those that leave a backend that is up.
    Churn(churn::Args),
    /// The rate without loss, with a little loss, and latency below it: a generator on one core, a worker on another.
    Ndr(Box<ndr::Args>),
    /// What changes of the configuration do to traffic: packets lost, latency, how soon workers know.
    Reconfig(Box<reconfig::Args>),
    /// The rate without loss by number of workers.
    Scale(Box<scale::Args>),
    /// What it costs to be scraped: the control core, the worker, size and time.
    Scrape(scrape::Args),
    /// How long tables of backends take to build, how even they are, and what changes move.
    Maglev(maglev::Args),
    /// Shows records of benchmarks as a page or as tables.
    Report(report::Args),
    /// Compares two records of a benchmark: what changed beyond noise.
    Compare(compare::Args),
    /// Latency of a packet that meets an idle worker, and the worker's processor time, for each way to be idle.
    Wake(wake::Args),
    /// What health checks of many backends cost: the share of a worker and of the control core.
    Probes(probes::Args),
}

pub(crate) fn bench(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Cycles(args) => cycles::cycles(args),
        Command::Churn(args) => churn::churn(args),
        Command::Ndr(args) => ndr::ndr(args),
        Command::Reconfig(args) => reconfig::reconfig(args),
        Command::Scale(args) => scale::scale(args),
        Command::Scrape(args) => scrape::scrape(args),
        Command::Maglev(args) => maglev::maglev(args),
        Command::Report(args) => report::report(args),
        Command::Compare(args) => compare::compare(args),
        Command::Wake(args) => wake::wake(args),
        Command::Probes(args) => probes::probes(args),
    }
}
