//! What the connections go through: a configuration, workers, and the card before them.

use super::peer::{Line, LinePort, OWN};
use super::{Error, Options};
use crate::memory::FreeList;
use guideway_config::model::Config;
use guideway_control::reconcile::reconcile;
use guideway_control::sessions::session_parts;
use guideway_control::state::State;
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::hash::USUAL_KEY;
use guideway_dataplane::ids::{PortId, WorkerId};
use guideway_dataplane::publish;
use guideway_dataplane::punt::{ControlRings, PuntClass};
use guideway_dataplane::rss::{HashesPorts, Rss};
use guideway_dataplane::snapshot::PortState;
use guideway_dataplane::transmit::TxPath;
use guideway_dataplane::worker::{Worker, WorkerParts};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// `keys` are those of the pool, beside what the options say.
pub(super) fn config(options: &Options, keys: &str) -> Result<Config, Error> {
    let workers: Vec<String> = (1..=options.workers).map(|core| core.to_string()).collect();
    let mut text = format!(
        "[fleet]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\n[cores]\ncontrol = 0\nworkers = [{}]\n\
         [state]\nsessions = {}\nconnection_rate = {}\n\
         [[port]]\nname = \"edge\"\ndevice = \"net_null0\"\n\
         [[interface]]\nport = \"edge\"\naddresses = [\"10.0.0.1/16\"]\n",
        workers.join(", "),
        options.sessions,
        options.rate.clamp(1_000, 10_000_000),
    );
    for number in 1..=options.backends {
        let _ = write!(
            text,
            "[[interface.neighbor]]\naddress = \"10.0.1.{number}\"\nmac = \"02:00:00:00:01:{number:02x}\"\n"
        );
    }
    let sources: Vec<String> = (1..=options.sources).map(|number| format!("\"10.0.2.{number}\"")).collect();
    let _ = write!(
        text,
        "[[pool]]\nname = \"web\"\nforward = \"fullnat\"\nhealth = {{ kind = \"none\" }}\nsource_addresses = [{}]\n{keys}\n",
        sources.join(", ")
    );
    for number in 1..=options.backends {
        let _ = write!(text, "[[pool.backend]]\nname = \"web{number}\"\naddress = \"10.0.1.{number}\"\nport = 8080\n");
    }
    let _ = write!(text, "[[vip]]\naddress = \"203.0.113.10\"\nprotocol = \"tcp\"\nport = 80\npool = \"web\"\n");
    let parsed = guideway_config::parse(&text, None).map_err(|errors| Error::Config(format!("{errors:?}")))?;
    Ok(parsed.config)
}

/// A card that spreads flows over so many workers.
pub(super) fn card(workers: u16) -> Option<Rss> {
    let table = (0..128).map(|entry| WorkerId(entry % workers.max(1))).collect();
    Rss::new(&USUAL_KEY, table, HashesPorts { tcp_v4: true, ..HashesPorts::default() })
}

/// Workers that poll a line each, and send to the same one. `rss`: what they know of the card.
pub(super) fn workers(
    config: &Arc<Config>,
    inputs: &[Line],
    output: &Line,
    (pool, rss): (&FreeList, Option<Rss>),
    counters: &[Arc<WorkerCounters>],
) -> Result<Vec<Worker<LinePort>>, Error> {
    let port = PortState { rss: rss.map(Arc::new), ..PortState::new(OWN) };
    let state = State::new(Arc::clone(config), vec![port], UNIX_EPOCH);
    let mut state = state.map_err(|error| Error::Config(format!("{error:?}")))?;
    let (_, readers) = publish::channel(reconcile(&mut state), inputs.len());
    let all_rings: Vec<_> = inputs.iter().map(|_| ControlRings::new()).collect();
    let parts = (0..).zip(inputs).zip(readers).zip(&all_rings).zip(counters);
    let workers = parts.map(|((((id, input), snapshots), rings), counters)| {
        let worker = Worker::new(WorkerParts {
            id: WorkerId(id),
            rx: vec![(PortId(0), input.clone())],
            tx: vec![TxPath::Queue(output.clone())],
            snapshots,
            rings: rings.clone(),
            pool: Arc::new(pool.clone()),
            exception_rate: PuntClass::Exception.rate(),
            sessions: session_parts(config, &all_rings),
            secret: [7; 16],
            counters: Arc::clone(counters),
        });
        // As `guideway run` does.
        #[cfg(feature = "dpdk")]
        worker.session_memory().into_iter().for_each(guideway_dpdk::prefer_huge_pages);
        worker
    });
    Ok(workers.collect())
}
