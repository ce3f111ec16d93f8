//! `guideway backend`: planned changes of one backend.

pub(crate) mod wait;

use crate::Failure;
use clap::Subcommand;
use guideway_control::api::client::{Client, ClientError};
use guideway_control::api::{Addition, Changed, InUse};
use guideway_control::status::model::{BackendStatus, Status};
use std::path::PathBuf;
use std::time::Duration;
use wait::Goal;

/// Options of `backend`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    change: Change,
}

#[derive(Subcommand)]
enum Change {
    /// Give a backend no new connections; those that it has stay until they end. With --wait: until none is left.
    Drain {
        #[command(flatten)]
        common: Common,
        /// End the connections that it has, too.
        #[arg(long)]
        force: bool,
    },
    /// Give a backend new connections again. With --wait: until it gets its share.
    Enable {
        #[command(flatten)]
        common: Common,
    },
    /// Drain a backend, and check it no more. With --wait: until no connection is left.
    Disable {
        #[command(flatten)]
        common: Common,
    },
    /// Change a backend's share of new connections. With --wait: until it gets that.
    Weight {
        #[command(flatten)]
        common: Common,
        /// The share, relative to the others of its group; 0: no new connections.
        #[arg(value_name = "WEIGHT", value_parser = clap::value_parser!(u32).range(0..=65_535))]
        weight: u32,
    },
    /// Add a backend to a pool. With --wait: until it can be reached, passed its checks and gets its share.
    Add {
        #[command(flatten)]
        common: Common,
        /// The address of the new backend.
        #[arg(value_name = "ADDRESS")]
        address: String,
        /// Where it listens, in a pool that rewrites addresses; without: the VIP's port.
        #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
        /// Its share of new connections, relative to the others of its group.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=65_535))]
        weight: u32,
        /// Its group: the lowest one serves while enough of it are up.
        #[arg(long, value_name = "N", default_value_t = 0)]
        priority: u8,
        /// What names it in QUIC connection IDs: two hexadecimal digits a byte.
        #[arg(long, value_name = "HEX")]
        server_id: Option<String>,
    },
    /// Drain a backend, then take it out of its pool. With --wait: until it is gone.
    Remove {
        #[command(flatten)]
        common: Common,
        /// Take it out at once; the connections that it has end.
        #[arg(long)]
        force: bool,
    },
}

/// What all changes have.
#[derive(clap::Args)]
struct Common {
    /// The backend; its name alone if only one pool has it.
    #[arg(value_name = "POOL/NAME")]
    backend: String,
    /// The control socket of the running process.
    #[arg(long, value_name = "PATH", default_value = guideway_config::model::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Come back only when the change is done.
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this (30s, 5m, 1h); then fail, and say what is left. The change goes on.
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = duration)]
    timeout: Option<Duration>,
    /// The backend as JSON, as in `status`; `null` if it is gone.
    #[arg(long)]
    json: bool,
}

impl Change {
    const fn common(&self) -> &Common {
        match self {
            Self::Drain { common, .. }
            | Self::Enable { common }
            | Self::Disable { common }
            | Self::Weight { common, .. }
            | Self::Add { common, .. }
            | Self::Remove { common, .. } => common,
        }
    }

    const fn goal(&self) -> Goal {
        match self {
            Self::Drain { .. } | Self::Disable { .. } => Goal::Empty,
            Self::Enable { .. } | Self::Weight { .. } | Self::Add { .. } => Goal::Settled,
            Self::Remove { .. } => Goal::Gone,
        }
    }

    fn ask(&self, client: &Client, pool: &str, name: &str) -> Result<Changed, ClientError> {
        match self {
            Self::Drain { force, .. } => client.drain(pool, name, *force),
            Self::Enable { .. } => client.enable(pool, name),
            Self::Disable { .. } => client.disable(pool, name),
            Self::Weight { weight, .. } => client.weight(pool, name, *weight),
            Self::Add { address, port, weight, priority, server_id, .. } => {
                let (name, address, server_id) = (name.to_owned(), address.clone(), server_id.clone());
                let (port, weight, priority) = (*port, *weight, *priority);
                client.add(pool, &Addition { name, address, port, weight, priority, server_id })
            }
            Self::Remove { force, .. } => client.remove(pool, name, *force),
        }
    }
}

pub(crate) fn backend(args: &Args) -> Result<(), Failure> {
    let change = &args.change;
    let Common { backend, socket, wait, timeout, json } = change.common();
    let client = Client::new(socket)?;
    let (pool, name) = match split(backend)? {
        (Some(pool), name) => (pool.to_owned(), name),
        (None, name) => (pool_of(&client.status()?, name, matches!(change, Change::Add { .. }))?, name),
    };
    let Changed { in_use, backend: mut now } = change.ask(&client, &pool, name).map_err(failure)?;
    tell_late(in_use);
    if *wait {
        now = wait::until(&client, &pool, name, change.goal(), *timeout)?;
    }
    if *json {
        println!("{}", serde_json::to_string_pretty(&now)?);
    } else {
        println!("{pool}/{name}: {}", line(now.as_ref()));
    }
    Ok(())
}

/// Says so if a worker does not use a change yet.
pub(crate) fn tell_late(in_use: InUse) {
    if in_use.is_late() {
        let InUse { generation, acknowledged_generation } = in_use;
        eprintln!(
            "guideway: a worker is late: it uses snapshot {acknowledged_generation}, and the change is in {generation}; it goes \
             on once the worker runs"
        );
    }
}

/// The backend in a line.
fn line(backend: Option<&BackendStatus>) -> String {
    let Some(BackendStatus { state, weight, slots, pins, .. }) = backend else { return "gone".to_owned() };
    format!("{state}, weight {weight}, {slots} slots, {pins} flows known to be on it")
}

/// What was asked for cannot be: bad usage. The rest failed.
pub(crate) fn failure(error: ClientError) -> Failure {
    if error.is_usage() { Failure::Usage(format!("guideway: {error}")) } else { error.into() }
}

/// `POOL/NAME` or `NAME`.
pub(crate) fn split(backend: &str) -> Result<(Option<&str>, &str), Failure> {
    let (pool, name) = match backend.split_once('/') {
        Some((pool, name)) => (Some(pool), name),
        None => (None, backend),
    };
    if name.is_empty() || pool.is_some_and(str::is_empty) {
        return Err(Failure::Usage(format!("guideway: {backend:?} names no backend: write POOL/NAME")));
    }
    Ok((pool, name))
}

/// The pool of a backend without one: the only one that has that name; for one that is new, the only pool.
pub(crate) fn pool_of(status: &Status, name: &str, is_new: bool) -> Result<String, Failure> {
    let has = |pool: &&guideway_control::status::model::PoolStatus| {
        is_new || pool.backends.iter().any(|backend| backend.name == name)
    };
    let found: Vec<&str> = status.pools.iter().filter(has).map(|pool| pool.name.as_str()).collect();
    match found[..] {
        [pool] => Ok(pool.to_owned()),
        [] => Err(Failure::Usage(format!("guideway: no pool has a backend {name:?}; `guideway status` lists them"))),
        [first, ..] if is_new => {
            Err(Failure::Usage(format!("guideway: there are {} pools: write for example {first}/{name}", found.len())))
        }
        [first, ..] => Err(Failure::Usage(format!(
            "guideway: {} pools have a backend {name:?}: write for example {first}/{name}",
            found.len()
        ))),
    }
}

/// A number and a unit, as in the configuration.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and a unit (ms, s, m, h), for example 90s".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(arguments: &[&str]) -> Result<Change, clap::Error> {
        Cli::try_parse_from([&["backend"], arguments].concat()).map(|cli| cli.args.change)
    }

    #[test]
    fn every_change_is_understood() {
        let Ok(Change::Drain { common, force: true }) =
            parsed(&["drain", "web/web2", "--force", "--wait", "--timeout", "1.5m", "--json"])
        else {
            panic!("a drain")
        };
        assert_eq!((common.backend.as_str(), common.timeout), ("web/web2", Some(Duration::from_secs(90))));
        assert!(common.wait && common.json);
        assert!(matches!(parsed(&["enable", "web2"]), Ok(Change::Enable { .. })));
        assert!(matches!(parsed(&["disable", "web2"]), Ok(Change::Disable { .. })));
        assert!(matches!(parsed(&["weight", "web/web2", "0"]), Ok(Change::Weight { weight: 0, .. })));
        assert!(matches!(parsed(&["remove", "web/web2"]), Ok(Change::Remove { force: false, .. })));
        let Ok(Change::Add { common, address, port: None, weight: 1, priority: 0, server_id: None }) =
            parsed(&["add", "web/web4", "10.0.0.14", "--socket", "/tmp/s"])
        else {
            panic!("an addition")
        };
        assert_eq!((address.as_str(), common.socket.to_str()), ("10.0.0.14", Some("/tmp/s")));
        let all = ["add", "web4", "fd00::14", "--weight", "65535", "--priority", "255", "--server-id", "0a0b"];
        assert!(matches!(parsed(&all), Ok(Change::Add { weight: 65_535, priority: 255, server_id: Some(_), .. })));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in [
            &["drain"][..],
            &["weight", "web/web2"],
            &["weight", "web/web2", "65536"],
            &["weight", "web/web2", "-1"],
            &["add", "web/web4"],
            &["add", "web/web4", "10.0.0.14", "--priority", "256"],
            &["enable", "web/web2", "--force"],
            &["drain", "web/web2", "--timeout", "5s"],
            &["drain", "web/web2", "--wait", "--timeout", "5"],
            &["restart", "web/web2"],
        ] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_split_at_the_first_slash() {
        assert!(matches!(split("web/web2"), Ok((Some("web"), "web2"))));
        assert!(matches!(split("fd00::1"), Ok((None, "fd00::1"))));
        for bad in ["", "/", "web/", "/web2"] {
            assert!(matches!(split(bad), Err(Failure::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [("200ms", 200), ("90s", 90_000), ("1.5m", 90_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "5", "s", "-1s", "1.2.3s", "1d", "1e3s", "99999999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
