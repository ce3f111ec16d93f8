//! `guideway changes`.

use crate::Failure;
use guideway_control::api::client::Client;
use guideway_control::audit::{Author, Change};
use serde_json::Value;
use std::path::PathBuf;

/// Options of `changes`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The control socket of the running process.
    #[arg(long, value_name = "PATH", default_value = guideway_config::model::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// The latest so many only.
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Everything, as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn changes(args: &Args) -> Result<(), Failure> {
    let changes = Client::new(&args.socket)?.changes()?;
    let first = args.last.map_or(0, |last| changes.len().saturating_sub(last));
    let changes = &changes[first..];
    if args.json {
        println!("{}", serde_json::to_string_pretty(changes)?);
    } else {
        changes.iter().for_each(|change| println!("{}", line(change)));
    }
    Ok(())
}

/// A change on one line; of both sides only what differs.
fn line(change: &Change) -> String {
    let Change { time, by, what, change, from, to } = change;
    let (from, to) = differing(from, to);
    let by = match by {
        Author::Api { uid, pid } => {
            let of = |name: &str, id: Option<String>| id.map_or_else(String::new, |id| format!(" {name} {id}"));
            format!("api{}{}", of("uid", uid.map(|id| id.to_string())), of("pid", pid.map(|id| id.to_string())))
        }
        Author::Tcp { address, token } => format!("api {address}{}", if *token { " token" } else { "" }),
        Author::Signal => "SIGHUP".to_owned(),
        Author::Health => "health check".to_owned(),
        Author::Process => "guideway".to_owned(),
    };
    format!("{time} {by}: {what}: {change}: {from} -> {to}")
}

/// Two objects without what they have in common; anything else as it is.
fn differing(from: &Value, to: &Value) -> (Value, Value) {
    let (Value::Object(before), Value::Object(after)) = (from, to) else { return (from.clone(), to.clone()) };
    let without = |of: &serde_json::Map<String, Value>, other: &serde_json::Map<String, Value>| {
        let own = of.iter().filter(|(key, value)| other.get(*key) != Some(value));
        Value::Object(own.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    (without(before, after), without(after, before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_says_what_differs() {
        let change = Change {
            time: "2026-01-31T12:00:00.000000Z".to_owned(),
            by: Author::Api { uid: Some(0), pid: Some(7) },
            what: "backend web/web1".to_owned(),
            change: "weight".to_owned(),
            from: json!({ "admin": "enabled", "weight": 1 }),
            to: json!({ "admin": "enabled", "weight": 5 }),
        };
        let expected =
            r#"2026-01-31T12:00:00.000000Z api uid 0 pid 7: backend web/web1: weight: {"weight":1} -> {"weight":5}"#;
        assert_eq!(line(&change), expected);
        let address = "[2001:db8::7]:40000".parse().unwrap();
        let by = |token| Change { by: Author::Tcp { address, token }, ..change.clone() };
        assert!(line(&by(true)).contains("Z api [2001:db8::7]:40000 token: backend web/web1"), "{}", line(&by(true)));
        assert!(line(&by(false)).contains("Z api [2001:db8::7]:40000: backend web/web1"), "{}", line(&by(false)));
        let came = Change { by: Author::Signal, from: Value::Null, ..change };
        assert!(line(&came).contains(" SIGHUP: backend web/web1: weight: null -> {\"admin\""), "{}", line(&came));
    }
}
