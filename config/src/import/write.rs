//! What was found, as TOML.

use super::Source;
use super::model::{Backend, Found, Health, Pool, Ports, Vip};
use super::time::written;
use std::time::Duration;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

/// What no source can say. `guideway check` names what is missing as long as it is.
const HEAD: &str = "\
# What the source cannot say follows as comments: the machine. Fill it in, then run `guideway check --config FILE`.
# [fleet]
# hash_key = \"\"                         # the same on every machine of the fleet: openssl rand -hex 16
# [cores]
# control = 0
# workers = [1]
# [[port]]
# name = \"edge\"
# device = \"0000:3b:00.0\"               # a PCI address, or \"net_af_xdp0,iface=eth1\"
# [[interface]]
# port = \"edge\"
# addresses = [\"10.0.0.1/24\"]           # own addresses, none of them a VIP
# [[route]]
# to = \"default\"
# via = [\"10.0.0.254\"]

";

/// The whole file. An error says what is wrong with the base.
pub(super) fn write(found: &Found, source: Source, base: Option<&str>) -> Result<String, String> {
    let mut document: DocumentMut = base.unwrap_or_default().parse().map_err(|error| format!("{error}"))?;
    document.remove("pool");
    document.remove("vip");
    let mut text = head(found, source);
    if base.is_none() {
        text.push_str(HEAD);
    }
    text.push_str(&document.to_string());
    if !text.ends_with("\n\n") {
        text.push('\n');
    }
    text.push_str(&services(found).to_string());
    Ok(text)
}

/// Comments: where it comes from, and what was not carried over.
fn head(found: &Found, source: Source) -> String {
    let mut head = format!("# Imported from {}.\n#\n", source.word());
    if !found.notes.is_empty() {
        head.push_str("# Not carried over as it is (line of the source: what: why; what to do instead):\n");
        found.notes.iter().for_each(|note| head.push_str(&format!("#   {note}\n")));
        head.push('\n');
    }
    head
}

fn services(found: &Found) -> DocumentMut {
    let mut document = DocumentMut::new();
    document.insert("pool", Item::ArrayOfTables(found.pools.iter().map(pool).collect()));
    if !found.vips.is_empty() {
        document.insert("vip", Item::ArrayOfTables(found.vips.iter().map(vip).collect()));
    }
    document
}

fn pool(pool: &Pool) -> Table {
    let mut table = spaced();
    table.insert("name", value(&pool.name));
    table.insert("forward", value(pool.forward.word()));
    if let Some(port) = pool.gue_port {
        table.insert("gue_port", value(i64::from(port)));
    }
    if let Some(version) = pool.proxy_protocol {
        table.insert("proxy_protocol", value(version));
    }
    if pool.has_spares {
        // The smallest whole percentage: the first group serves while anything of it is up.
        table.insert("group_min", value("1%"));
    }
    if let Some(idle) = pool.idle {
        table.insert("idle_timeout", value(InlineTable::from_iter([("tcp", written(idle))])));
    }
    if let Some(check) = &pool.health {
        table.insert("health", value(health(check)));
    }
    table.insert("backend", Item::ArrayOfTables(pool.backends.iter().map(backend).collect::<ArrayOfTables>()));
    table
}

/// A table with an empty line in front.
fn spaced() -> Table {
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    table
}

fn health(health: &Health) -> InlineTable {
    let mut table = InlineTable::from_iter([("kind", health.kind)]);
    let mut put = |key: &str, value: Option<Value>| value.map(|value| table.insert(key, value));
    put("port", health.port.map(|port| i64::from(port).into()));
    put("path", health.path.as_deref().map(Value::from));
    put("host", health.host.as_deref().map(Value::from));
    put("expect_status", health.expect_status.map(|status| Array::from_iter([i64::from(status)]).into()));
    let time = |time: Option<Duration>| time.map(|time| written(time).into());
    put("interval", time(health.interval));
    put("fast_interval", time(health.fast_interval));
    put("timeout", time(health.timeout));
    put("rise", health.rise.map(|run| i64::from(run).into()));
    put("fall", health.fall.map(|run| i64::from(run).into()));
    table
}

fn backend(backend: &Backend) -> Table {
    let mut table = Table::new();
    if let Some(name) = &backend.name {
        table.insert("name", value(name));
    }
    table.insert("address", value(backend.address.to_string()));
    if let Some(port) = backend.port {
        table.insert("port", value(i64::from(port)));
    }
    if backend.weight != 1 {
        table.insert("weight", value(i64::from(backend.weight)));
    }
    if backend.priority != 0 {
        table.insert("priority", value(i64::from(backend.priority)));
    }
    table
}

fn vip(vip: &Vip) -> Table {
    let mut table = spaced();
    table.insert("address", value(vip.address.to_string()));
    table.insert("protocol", value(vip.protocol));
    let port = match vip.ports {
        Ports::One(port) => value(i64::from(port)),
        Ports::Range(first, last) => value(format!("{first}-{last}")),
        Ports::Any => value("any"),
    };
    table.insert("port", port);
    table.insert("pool", value(&vip.pool));
    if let Some(window) = vip.affinity {
        table.insert("affinity", value("client"));
        table.insert("affinity_window", value(written(window)));
    }
    table
}
