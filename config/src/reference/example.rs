//! A whole file around some keys of one table.

use super::Entry;
use crate::schema::{BACKEND, FILE, Section};
use toml_edit::{DocumentMut, Item, TableLike};

/// One of each table, with little more than what is required.
const WHOLE: &str = r#"
fleet = { hash_key = "000102030405060708090a0b0c0d0e0f" }
cores = { control = 0, workers = [1] }
dpdk = {}
api = {}
state = {}
exception = {}
audit = { connections = { to = "stdout" }, changes = { to = "stdout" } }

[[port]]
name = "edge"
device = "0000:3b:00.0"

[[interface]]
port = "edge"
addresses = ["192.0.2.2/24"]
[[interface.neighbor]]
address = "192.0.2.9"
mac = "02:00:00:00:00:09"

[[route]]
to = "default"
via = ["192.0.2.1"]

[[pool]]
name = "web"
forward = "ipip"
health = { kind = "icmp" }
agent = { port = 9777 }
idle_timeout = {}
[[pool.quic_lb]]
config_id = 0
server_id_len = 2
nonce_len = 6
[[pool.backend]]
name = "web1"
address = "198.51.100.11"
server_id = "0a0b"

[[vip]]
address = "203.0.113.10"
protocol = "tcp"
port = 443
pool = "web"
"#;

/// Where the tables lie that are named after no path of their own.
fn path(title: &str) -> String {
    match title {
        "health" | "agent" | "idle_timeout" => format!("pool.{title}"),
        "connections" | "changes" => format!("audit.{title}"),
        _ => title.trim_matches(['[', ']']).to_owned(),
    }
}

/// A whole configuration file in which a table of `section` has the keys of `keys`, written as in an inline table, and none
/// of those of `without`. `None` if `keys` is no TOML.
#[must_use]
pub fn file_with(section: &Section, keys: &str, without: &[&str]) -> Option<String> {
    let mut file: DocumentMut = WHOLE.parse().ok()?;
    let keys: DocumentMut = format!("keys = {{ {keys} }}").parse().ok()?;
    let keys = keys["keys"].as_inline_table()?;
    // A port of a backend has a meaning only where ports are rewritten, which is for its pool to say.
    if section.title == BACKEND.title && keys.contains_key("port") {
        let pool = file.get_mut("pool")?.as_array_of_tables_mut()?.get_mut(0)?;
        pool.insert("forward", Item::Value("nat".into()));
    }
    let mut table: &mut dyn TableLike = file.as_table_mut();
    let steps = if section.title == FILE.title { String::new() } else { path(section.title) };
    for step in steps.split('.').filter(|step| !step.is_empty()) {
        table = match table.get_mut(step)? {
            Item::ArrayOfTables(tables) => tables.get_mut(0)?,
            other => other.as_table_like_mut()?,
        };
    }
    for key in without {
        table.remove(key);
    }
    for (key, value) in keys {
        table.insert(key, Item::Value(value.clone()));
    }
    Some(file.to_string())
}

impl Entry {
    /// The keys of the example that this one needs beside it, written as in an inline table; empty if there are none.
    #[must_use]
    pub fn beside(&self) -> String {
        let example: Option<DocumentMut> = format!("keys = {{ {} }}", self.example).parse().ok();
        let keys = example.as_ref().and_then(|example| example["keys"].as_inline_table());
        let others = keys.into_iter().flat_map(|keys| keys.iter()).filter(|(key, _)| *key != self.name);
        others.map(|(key, value)| format!("{key} = {}", value.to_string().trim())).collect::<Vec<_>>().join(", ")
    }
}
