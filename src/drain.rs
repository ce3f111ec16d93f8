//! `guideway drain --node`.

use crate::Failure;
use crate::backend::duration;
use crate::backend::wait::{POLL, Screen};
use anyhow::anyhow;
use guideway_control::api::client::{Client, ClientError};
use guideway_control::drain::{Ask, DrainStatus};
use std::path::PathBuf;
use std::time::Duration;

/// Options of `drain`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Drain this whole machine; for one backend: guideway backend drain.
    #[arg(long, required = true)]
    node: bool,
    /// The control socket of the running process.
    #[arg(long, value_name = "PATH", default_value = guideway_config::model::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Stop after this long (30s, 5m, 1h), whatever still comes. Without it the drain takes as long as its last flow.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    limit: Option<Duration>,
    /// Flows count as gone when no packet for a VIP came for this long.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    quiet: Duration,
    /// Come back only when the process has stopped.
    #[arg(long)]
    wait: bool,
    /// Undo a drain that has not ended: VIPs are answered for again.
    #[arg(long, conflicts_with_all = ["limit", "quiet", "wait"])]
    cancel: bool,
    /// How far the drain is, as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn drain(args: &Args) -> Result<(), Failure> {
    let client = Client::new(&args.socket)?;
    let status = if args.cancel {
        client.cancel_drain()?
    } else {
        let limit_seconds = args.limit.map(|limit| limit.as_secs_f64());
        client.drain_node(&Ask { quiet_seconds: args.quiet.as_secs_f64(), limit_seconds })?
    };
    if args.wait {
        wait(&client)?;
    }
    match (args.json, args.cancel, args.wait) {
        (true, ..) => println!("{}", serde_json::to_string_pretty(&status)?),
        (_, true, _) => println!("this machine does not drain any more"),
        (_, _, true) => println!("drained and stopped"),
        _ => println!("{}", line(&status)),
    }
    Ok(())
}

/// A drain in a line.
pub(crate) fn line(drain: &DrainStatus) -> String {
    let DrainStatus { since_seconds, quiet_for_seconds, quiet_seconds, limit_seconds } = drain;
    let limit = limit_seconds.map(|limit| format!(", at the latest {limit:.0} s after it began")).unwrap_or_default();
    format!(
        "this machine drains since {since_seconds:.0} s, no packet for a VIP since {quiet_for_seconds:.0} s; it stops when there was \
         none for {quiet_seconds:.0} s{limit}"
    )
}

/// Asks until nobody answers any more.
fn wait(client: &Client) -> Result<(), Failure> {
    let mut screen = Screen::new("drain".to_owned());
    loop {
        match client.status() {
            Ok(status) => match status.drain {
                Some(drain) => screen.show(line(&drain), None),
                None => {
                    screen.clear();
                    return Err(anyhow!("drain: somebody cancelled it").into());
                }
            },
            // It may stop in the middle of an answer.
            Err(ClientError::Connect { .. } | ClientError::Http(_) | ClientError::Refused { status: 503, .. }) => break,
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(POLL);
    }
    screen.clear();
    Ok(())
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

    #[test]
    fn a_machine_is_drained_only_if_it_is_named() {
        let parsed = |arguments: &[&str]| Cli::try_parse_from([&["drain"], arguments].concat()).map(|cli| cli.args);
        let all = parsed(&["--node", "--wait", "--limit", "60s", "--quiet", "500ms", "--json"]).unwrap();
        assert_eq!((all.limit, all.quiet), (Some(Duration::from_secs(60)), Duration::from_millis(500)));
        let plain = parsed(&["--node"]).unwrap();
        assert_eq!((plain.limit, plain.quiet, plain.cancel), (None, Duration::from_secs(10), false));
        assert!(parsed(&["--node", "--cancel"]).unwrap().cancel);
        for bad in [&[][..], &["--wait"], &["--node", "--cancel", "--limit", "5s"], &["web/web1"]] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_line_says_when_it_ends() {
        let mut drain =
            DrainStatus { since_seconds: 7.0, quiet_for_seconds: 3.0, quiet_seconds: 10.0, limit_seconds: Some(60.0) };
        assert!(line(&drain).ends_with("none for 10 s, at the latest 60 s after it began"));
        drain.limit_seconds = None;
        assert!(line(&drain).ends_with("since 3 s; it stops when there was none for 10 s"));
    }
}
