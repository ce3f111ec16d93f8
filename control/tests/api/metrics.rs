//! `GET /metrics`: what it says must be what is counted, in a form that Prometheus reads.

use crate::site::{ARM, IDLE, SWEEP, Site};
use guideway_dataplane::counters::WorkerCounters;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::{BackendId, VipId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const OPEN_METRICS: &str =
    "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3\r\n";

/// The series of a scrape, by name and labels as they are written.
struct Scrape {
    text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    fn of(site: &Site, query: &str) -> Self {
        let (code, text) = site.raw("GET", &format!("/metrics{query}"), "");
        assert_eq!(code, 200, "{text}");
        Self::read(text)
    }

    fn read(text: String) -> Self {
        let mut series = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            let value = value.parse().expect("a number");
            assert_eq!(series.insert(name.to_owned(), value), None, "{name} is there twice");
        }
        Self { text, series }
    }

    fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }

    fn backend(&self, name: &str, pool: &str, backend: &str) -> f64 {
        self.value(&format!("guideway_backend_{name}{{pool=\"{pool}\",backend=\"{backend}\"}}"))
    }

    fn pool(&self, name: &str, pool: &str) -> f64 {
        self.value(&format!("guideway_pool_{name}{{pool=\"{pool}\"}}"))
    }

    /// Names of its series.
    fn names(&self) -> BTreeSet<&str> {
        self.series.keys().map(|series| series.split('{').next().unwrap_or(series)).collect()
    }
}

/// Names that families have in the text format of Prometheus, with series or without.
fn families(text: &str) -> BTreeSet<&str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().expect("a name")).collect()
}

#[test]
fn what_workers_count_is_what_a_scrape_says() {
    let site = Site::start();
    let counters: &WorkerCounters = &site.counters;
    (0..7).for_each(|_| counters.received.add(100));
    (0..5).for_each(|_| counters.vip(VipId(0)).expect("the first VIP").add(60));
    (0..3).for_each(|_| counters.backend(BackendId(1)).expect("web2").add(60));
    counters.drops[DropReason::NoVip as usize].add(2);
    counters.busy_nanos.add(1_500_000_000);
    counters.total_nanos.add(6_000_000_000);
    counters.stalls.add(4);
    counters.pins.inserted.add(11);
    counters.pins.evicted_single.add(2);
    let scrape = Scrape::of(&site, "");
    let address = &site.client.status().expect("a status").vips[0].address;
    let vip = format!("{{address=\"{address}\",protocol=\"tcp\",port=\"80\",pool=\"web\"}}");
    for (series, value) in [
        ("guideway_worker_received_packets_total{core=\"1\"}", 7.0),
        ("guideway_worker_received_bytes_total{core=\"1\"}", 700.0),
        ("guideway_worker_dropped_packets_total{core=\"1\"}", 2.0),
        ("guideway_worker_busy_seconds_total{core=\"1\"}", 1.5),
        ("guideway_worker_seconds_total{core=\"1\"}", 6.0),
        ("guideway_worker_stalls_total{core=\"1\"}", 4.0),
        ("guideway_dropped_packets_total{reason=\"vip_no_service\"}", 2.0),
        ("guideway_dropped_packets_total{reason=\"runt\"}", 0.0),
        ("guideway_punted_packets_total{class=\"neighbor\"}", 0.0),
        ("guideway_pins_inserted_total", 11.0),
        ("guideway_pins_evicted_total{flow=\"single\"}", 2.0),
        ("guideway_pins_capacity", 1_024.0),
        ("guideway_port_up{port=\"edge\"}", 1.0),
        ("guideway_neighbors{state=\"static\"}", 29.0),
        ("guideway_snapshot_generation", scrape.value("guideway_snapshot_acknowledged_generation")),
        (format!("guideway_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")).as_str(), 1.0),
        (format!("guideway_vip_packets_total{vip}").as_str(), 5.0),
        (format!("guideway_vip_bytes_total{vip}").as_str(), 300.0),
        (format!("guideway_vip_serving{vip}").as_str(), 1.0),
    ] {
        assert!((scrape.value(series) - value).abs() < 1e-9, "{series}: {}", scrape.value(series));
    }
    assert_eq!(scrape.backend("packets_total", "web", "web2"), 3.0);
    assert_eq!(scrape.backend("bytes_total", "web", "web2"), 180.0);
    assert_eq!(scrape.backend("packets_total", "web", "web1"), 0.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let started = scrape.value("guideway_start_time_seconds");
    assert!(started <= now && now - started < 600.0, "{started}");
    assert_eq!(started, Scrape::of(&site, "").value("guideway_start_time_seconds"), "it does not waver");
}

#[test]
fn numbers_of_pools_and_backends_are_those_of_the_status() {
    let site = Site::start();
    let check = |scrape: &Scrape, pool: &str| {
        let status = site.pool(pool);
        assert_eq!(scrape.pool("table_slots", pool), f64::from(status.table_size));
        assert_eq!(scrape.pool("moved_slots", pool), f64::from(status.slots_moved));
        assert_eq!(scrape.pool("differing_slots", pool), f64::from(status.transition.differing));
        assert_eq!(scrape.pool("settled", pool), f64::from(u8::from(status.transition.settled)));
        let mut states = BTreeMap::new();
        for backend in &status.backends {
            *states.entry(backend.state.clone()).or_insert(0.0) += 1.0;
            assert_eq!(scrape.backend("slots", pool, &backend.name), f64::from(backend.slots));
            assert_eq!(scrape.backend("pins", pool, &backend.name), f64::from(backend.pins));
            assert_eq!(scrape.backend("weight", pool, &backend.name), f64::from(backend.weight));
            let enabled = f64::from(u8::from(backend.admin == "enabled" && backend.stage != "leaving"));
            assert_eq!(scrape.backend("enabled", pool, &backend.name), enabled);
            let probes = format!("guideway_backend_probes_total{{pool=\"{pool}\",backend=\"{}\",result=", backend.name);
            assert_eq!(scrape.series.keys().any(|key| key.starts_with(&probes)), backend.check.is_some());
        }
        let counted = scrape.series.iter().filter(|(key, count)| {
            key.starts_with(&format!("guideway_pool_backends{{pool=\"{pool}\",state=")) && **count > 0.0
        });
        let counted = counted.map(|(key, count)| (key.split('"').nth(3).expect("a state").to_owned(), *count));
        assert_eq!(counted.collect::<BTreeMap<_, _>>(), states);
        status
    };
    check(&Scrape::of(&site, ""), "web");
    check(&Scrape::of(&site, ""), "checked");
    site.client.drain("web", "web2", false).expect("it is there");
    let scrape = Scrape::of(&site, "");
    let armed = check(&scrape, "web").transition.armed;
    assert!(armed > 0);
    let phase = |scrape: &Scrape, phase| {
        scrape.value(&format!("guideway_pool_changing_slots{{pool=\"web\",phase=\"{phase}\"}}"))
    };
    assert_eq!((phase(&scrape, "armed"), phase(&scrape, "transition")), (f64::from(armed), 0.0));
    site.run(ARM * 2);
    let scrape = Scrape::of(&site, "");
    check(&scrape, "web");
    assert_eq!((phase(&scrape, "armed"), phase(&scrape, "transition")), (0.0, f64::from(armed)));
    site.run(IDLE + SWEEP * 3);
    check(&Scrape::of(&site, ""), "web");
    site.client.remove("web", "web3", false).expect("it is there");
    site.run(ARM * 2);
    check(&Scrape::of(&site, ""), "web");
}

#[test]
fn who_reads_openmetrics_gets_it_and_others_the_format_of_before() {
    let site = Site::start();
    let (code, head, open) = site.exchange("GET", "/metrics", OPEN_METRICS, "");
    assert_eq!(code, 200);
    assert!(head.to_lowercase().contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(open.ends_with("\n# EOF\n"), "{}", &open[open.len() - 40..]);
    assert!(open.contains("# TYPE guideway_dropped_packets counter\n"));
    let (code, head, text) = site.exchange("GET", "/metrics", "", "");
    assert_eq!(code, 200);
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(text.contains("# TYPE guideway_dropped_packets_total counter\n"));
    let (open, text) = (Scrape::read(open), Scrape::read(text));
    assert_eq!(open.series.keys().collect::<Vec<_>>(), text.series.keys().collect::<Vec<_>>());
}

#[test]
fn series_of_single_backends_can_be_left_out() {
    let site = Site::start();
    let (all, none) = (Scrape::of(&site, "?backends=all"), Scrape::of(&site, "?backends=none"));
    let left: BTreeSet<_> = all.names().difference(&none.names()).copied().collect();
    assert!(left.iter().all(|name| name.starts_with("guideway_backend_")), "{left:?}");
    assert!(!none.text.contains("guideway_backend_") && none.text.contains("guideway_pool_backends{"));
    assert_eq!(none.names().union(&left).copied().collect::<BTreeSet<_>>(), all.names());
    let (code, answer) = site.raw("GET", "/metrics?backends=some", "");
    assert_eq!(code, 400);
    assert!(answer.contains("backends=none"), "{answer}");
}

/// Names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !word(c)).filter(|word| word.starts_with("guideway_"));
    words.collect()
}

#[test]
fn what_dashboard_and_alerts_name_is_there() {
    let site = Site::start();
    let scrape = Scrape::of(&site, "");
    let families = families(&scrape.text);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring");
    for (file, least) in [("dashboard.json", 25), ("alerts.yml", 12), ("README.md", 5)] {
        let text = std::fs::read_to_string(folder.join(file)).expect("a file of the documentation");
        let named = named(&text);
        assert!(named.len() >= least, "{file} names only {named:?}");
        let missing: Vec<_> = named.difference(&families).collect();
        assert!(missing.is_empty(), "{file} names what no scrape has: {missing:?}");
    }
}
