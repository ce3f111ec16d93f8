//! `guideway reload`.

use crate::Failure;
use crate::backend::wait::{POLL, Screen};
use crate::backend::{duration, tell_late};
use anyhow::anyhow;
use guideway_control::api::client::{Client, ClientError};
use guideway_control::reload::run::{Ask, Outcome};
use guideway_control::status::model::Status;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Options of `reload`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The control socket of the running process.
    #[arg(long, value_name = "PATH", default_value = guideway_config::model::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Another file than the one that the process was started with. The process reads it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Apply also what breaks connections.
    #[arg(long)]
    disruptive: bool,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Come back only when new connections go where the file says. Backends that leave may take longer.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Wait no longer than this (30s, 5m, 1h); then fail, and say what is left. The change goes on.
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = duration)]
    timeout: Option<Duration>,
    /// What changed, as JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn ask(&self) -> Result<Ask, Failure> {
        // The process may live in another directory.
        let config = self.config.as_deref().map(std::path::absolute).transpose()?;
        Ok(Ask { config, disruptive: self.disruptive, dry_run: self.dry_run })
    }
}

pub(crate) fn reload(args: &Args) -> Result<(), Failure> {
    let client = Client::new(&args.socket)?;
    let reloaded = client.reload(&args.ask()?).map_err(failure)?;
    let outcome = &reloaded.outcome;
    tell_late(reloaded.in_use);
    for warning in &outcome.warnings {
        eprintln!("{warning}");
    }
    if args.wait {
        wait(&client, args.timeout)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&reloaded)?);
    } else {
        println!("{}", text(outcome));
    }
    Ok(())
}

/// A file that is bad or refused is bad configuration; the rest failed.
fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { status: 409 | 422, message } => Failure::Usage(message),
        error if error.is_usage() => Failure::Usage(format!("guideway: {error}")),
        error => error.into(),
    }
}

/// A head, and a line for each change.
fn text(outcome: &Outcome) -> String {
    let Outcome { config, applied, disruptive, changes, .. } = outcome;
    let head = match (changes.is_empty(), applied, disruptive) {
        (true, ..) => "nothing changes",
        (false, true, false) => "applied",
        (false, true, true) => "applied, and connections break",
        (false, false, false) => "would change",
        (false, false, true) => "would change, and connections would break",
    };
    let lines = changes.iter().map(|line| format!("\n  {line}"));
    format!("{}: {head}{}", config.display(), lines.collect::<String>())
}

/// Asks until new connections go where they shall in every pool.
fn wait(client: &Client, timeout: Option<Duration>) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut screen = Screen::new("reload".to_owned());
    while let Some(missing) = missing(&client.status()?) {
        if timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
            screen.clear();
            let waited = timeout.unwrap_or_default();
            return Err(anyhow!("reload: not done within {waited:?}: {missing}; the change goes on").into());
        }
        screen.show(missing, None);
        std::thread::sleep(POLL);
    }
    screen.clear();
    Ok(())
}

/// What the first pool waits for that is not done.
fn missing(status: &Status) -> Option<String> {
    if status.generation != status.acknowledged_generation {
        return Some("a worker does not use the latest snapshot yet".to_owned());
    }
    status.pools.iter().find_map(|pool| {
        let name = &pool.name;
        let joining: Vec<&str> =
            pool.backends.iter().filter(|b| b.stage == "joining").map(|b| b.name.as_str()).collect();
        if !joining.is_empty() {
            return Some(format!("pool {name}: not ready yet: {}", joining.join(", ")));
        }
        let transition = &pool.transition;
        let waits = transition.waiting.as_deref().unwrap_or("workers");
        (!transition.settled).then(|| format!("pool {name}: slots change (waits: {waits})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use guideway_control::status::model::{BackendStatus, PoolStatus, TransitionStatus};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(arguments: &[&str]) -> Result<Args, clap::Error> {
        Cli::try_parse_from([&["reload"], arguments].concat()).map(|cli| cli.args)
    }

    #[test]
    fn options_become_what_is_asked_for() {
        let ask = |arguments: &[&str]| parsed(arguments).unwrap().ask().ok().unwrap();
        assert_eq!(ask(&[]), Ask::default());
        let all = ask(&["--config", "/etc/other.toml", "--disruptive", "--dry-run", "--json"]);
        assert_eq!(all, Ask { config: Some("/etc/other.toml".into()), disruptive: true, dry_run: true });
        assert!(ask(&["--config", "other.toml"]).config.unwrap().is_absolute());
        let waits = parsed(&["--wait", "--timeout", "1.5m", "--socket", "/tmp/s"]).unwrap();
        assert_eq!((waits.wait, waits.timeout), (true, Some(Duration::from_secs(90))));
        for bad in [&["--wait", "--dry-run"][..], &["--timeout", "5s"], &["--config"], &["file.toml"]] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_file_is_bad_configuration() {
        let refused = |status| ClientError::Refused { status, message: "a.toml: no".to_owned() };
        for status in [409, 422] {
            assert!(matches!(failure(refused(status)), Failure::Usage(message) if message == "a.toml: no"));
        }
        assert!(matches!(failure(refused(400)), Failure::Usage(_)));
        assert!(matches!(failure(refused(503)), Failure::Runtime(_)));
    }

    #[test]
    fn what_changes_is_told() {
        let changes = vec!["pool web: backend web2 leaves".to_owned()];
        let mut outcome =
            Outcome { config: "a.toml".into(), applied: true, disruptive: false, changes, warnings: vec![] };
        assert_eq!(text(&outcome), "a.toml: applied\n  pool web: backend web2 leaves");
        outcome.applied = false;
        assert!(text(&outcome).starts_with("a.toml: would change\n"));
        outcome.changes.clear();
        assert_eq!(text(&outcome), "a.toml: nothing changes");
    }

    #[test]
    fn waiting_says_for_what() {
        let transition = TransitionStatus { settled: true, ..TransitionStatus::default() };
        let joining = BackendStatus { name: "web4".into(), stage: "joining".into(), ..BackendStatus::default() };
        let pool = PoolStatus { name: "web".into(), transition, backends: vec![joining], ..PoolStatus::default() };
        let mut status = Status { pools: vec![pool], ..Status::default() };
        assert_eq!(missing(&status).unwrap(), "pool web: not ready yet: web4");
        status.pools[0].backends[0].stage = "leaving".into();
        assert_eq!(missing(&status), None, "connections go on");
        status.pools[0].transition =
            TransitionStatus { settled: false, waiting: Some("arming".into()), ..TransitionStatus::default() };
        assert_eq!(missing(&status).unwrap(), "pool web: slots change (waits: arming)");
        status.acknowledged_generation = 1;
        assert!(missing(&status).unwrap().contains("worker"));
    }
}
