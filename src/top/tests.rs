//! Keys, rates, and frames by what they say.

use super::app::{App, Effect, Order, Over, Tab, Verb};
use super::once::{json, text};
use super::rates::{History, Rates, short};
use guideway_control::status::model::{
    BackendStatus, CheckStatus, PoolStatus, Status, Totals, TrafficStatus, VipStatus, WorkerStatus,
};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

const SIZE: (u16, u16) = (150, 24);

fn traffic(packets: u64) -> TrafficStatus {
    TrafficStatus { packets, bytes: packets * 100 }
}

fn backend(name: &str, state: &str, packets: u64) -> BackendStatus {
    BackendStatus {
        name: name.to_owned(),
        address: format!("10.0.0.{}", name.len()),
        weight: 1,
        state: state.to_owned(),
        traffic: traffic(packets),
        since_unix: 1_000.0,
        check: Some(CheckStatus { rtt_microseconds: Some(1_234.0), ..CheckStatus::default() }),
        ..BackendStatus::default()
    }
}

/// How things are `seconds` after the start: 1,000 packets a second for the first VIP, 100 for the second one.
fn status(seconds: u64) -> Status {
    let vip = |address: &str, pool: &str, serving, packets| VipStatus {
        address: address.to_owned(),
        protocol: "tcp".to_owned(),
        port: "80".to_owned(),
        pool: pool.to_owned(),
        serving,
        traffic: traffic(packets),
    };
    let pool = |name: &str, backends| PoolStatus { name: name.to_owned(), backends, ..PoolStatus::default() };
    let totals =
        Totals { received: 1_150 * seconds, sent: 1_100 * seconds, dropped: 50 * seconds, ..Totals::default() };
    let worker = WorkerStatus {
        core: 3,
        idle: "poll".to_owned(),
        power: "off".to_owned(),
        sleeps: 0,
        busy_share: 0.5,
        busy_seconds: 0.25 * seconds as f64,
        seconds: seconds as f64,
        burst_fill: 1.0,
        bursts: 230 * seconds,
        polls: 0,
        stalls: 0,
        packets: totals,
    };
    Status {
        version: "1.2.3".to_owned(),
        pid: 77,
        uptime_seconds: seconds as f64,
        vips: vec![
            vip("203.0.113.10", "web", true, 1_000 * seconds),
            vip("203.0.113.11", "mail", false, 100 * seconds),
        ],
        pools: vec![
            pool("web", vec![backend("web1", "up", 250 * seconds), backend("web20", "down", 750 * seconds)]),
            pool("mail", vec![backend("mx", "draining", 100 * seconds)]),
        ],
        workers: vec![worker],
        packets: totals,
        drops: [("no_backend".to_owned(), 50 * seconds), ("runt".to_owned(), 7)].into(),
        warnings: vec!["something is odd".to_owned()],
        ..Status::default()
    }
}

fn app(tab: Tab) -> App {
    let mut app = App::new(tab);
    app.update(status(10), 2_000.0);
    app.update(status(12), 2_002.0);
    app
}

fn press(app: &mut App, keys: &str) -> Option<Effect> {
    let keys: Vec<KeyCode> = keys.chars().map(KeyCode::Char).collect();
    keys.into_iter().fold(None, |_, code| hit(app, code))
}

fn hit(app: &mut App, code: KeyCode) -> Option<Effect> {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn frame(app: &mut App) -> String {
    text(app, SIZE).expect("memory takes it")
}

/// The lines of a frame that contain all of these, in this order.
fn line(frame: &str, parts: &[&str]) -> usize {
    let holds = |line: &str| {
        parts.iter().try_fold(line, |rest, part| rest.find(part).map(|at| &rest[at + part.len()..])).is_some()
    };
    frame.lines().position(holds).unwrap_or_else(|| panic!("no line with {parts:?} in\n{frame}"))
}

#[test]
fn rates_are_what_changed_by_second() {
    let app = app(Tab::Overview);
    let rates = &app.rates;
    assert_eq!((rates.received, rates.sent, rates.dropped), (1_150.0, 1_100.0, 50.0));
    assert_eq!((rates.vips[0].packets, rates.vips[0].bits, rates.vips[1].packets), (1_000.0, 800_000.0, 100.0));
    assert_eq!(rates.bits, 880_000.0);
    assert_eq!((rates.backends[0][1].packets, rates.pool(0).packets), (750.0, 1_000.0));
    assert_eq!((rates.workers[0].busy, rates.workers[0].fill), (0.25, 5.0));
    assert_eq!((rates.drops["no_backend"], rates.drops["runt"]), (50.0, 0.0));
}

#[test]
fn what_began_anew_has_no_rate() {
    let old = status(100);
    let other = Status { pid: 78, ..status(101) };
    assert_eq!(Rates::between(Some(&old), &other).received, 0.0, "another process");
    assert_eq!(Rates::between(Some(&old), &status(3)).received, 0.0, "the same number, another process");
    let mut less = status(101);
    less.pools[0].backends[0].traffic = traffic(1);
    let rates = Rates::between(Some(&old), &less);
    assert_eq!((rates.backends[0][0].packets, rates.backends[0][1].packets), (0.0, 750.0));
    let mut more = status(101);
    more.pools[1].backends.insert(0, backend("new", "joining", 5_000));
    let rates = Rates::between(Some(&old), &more);
    assert_eq!((rates.backends[1][0].packets, rates.backends[1][1].packets), (0.0, 100.0), "by name, not by place");
    more.drops.insert("land".to_owned(), 9);
    assert_eq!(Rates::between(Some(&old), &more).drops["land"], 9.0, "it was zero before");
}

#[test]
fn numbers_are_short() {
    for (value, text) in
        [(0.0, "0"), (7.0, "7"), (0.5, "0.50"), (999.0, "999"), (1_000.0, "1.00k"), (12_345.0, "12.3k")]
    {
        assert_eq!(short(value), text);
    }
    assert_eq!(
        (short(4.56e6), short(7.89e11), short(1e18)),
        ("4.56M".to_owned(), "789G".to_owned(), "1000000T".to_owned())
    );
}

#[test]
fn bars_scale_to_the_largest_of_them() {
    let mut history = History::default();
    assert_eq!(history.bars(3), "   ");
    [8.0, 0.0, 1.0, 4.0].into_iter().for_each(|value| history.push(value));
    assert_eq!(history.bars(6), "  █ ▁▄");
    assert_eq!(history.bars(2), "▂█", "what is not shown does not count");
    assert_eq!(history.values(6), [0, 0, 8, 0, 1, 4]);
}

#[test]
fn the_overview_says_what_matters() {
    let frame = frame(&mut app(Tab::Overview));
    line(&frame, &["guideway 1.2.3", "pid 77", "12.0 s"]);
    line(&frame, &["packets in/s: 1.15k", "bit/s to backends: 880k", "drops/s: 50"]);
    line(&frame, &["VIPs", "1 of 2 serve"]);
    line(&frame, &["backends", "1 down", "1 draining", "1 up"]);
    line(&frame, &["core 3", "busy  25.0 %", "5.0 packets a burst"]);
    line(&frame, &["dropping", "50/s as no_backend"]);
    line(&frame, &["warning", "something is odd"]);
    line(&frame, &["?: help", "q: quit"]);
}

#[test]
fn each_screen_shows_its_rows() {
    let mut app = app(Tab::Overview);
    press(&mut app, "2");
    let vips = frame(&mut app);
    line(&vips, &["203.0.113.10 tcp 80", "web", "serving", "1.00k", "800k", "12.0k", "█"]);
    line(&vips, &["203.0.113.11 tcp 80", "mail", "not serving", "100", "80.0k"]);
    press(&mut app, "3");
    line(&frame(&mut app), &["web", "1", "2", "1.00k", "800k"]);
    press(&mut app, "4");
    let backends = frame(&mut app);
    line(&backends, &["web/web20", "10.0.0.5", "down", "750", "600k", "1.23", "16 min"]);
    hit(&mut app, KeyCode::Right);
    line(&frame(&mut app), &["3", "poll", "25.0", "5.0", "1.15k", "1.10k", "50"]);
    hit(&mut app, KeyCode::Tab);
    let drops = frame(&mut app);
    line(&drops, &["no_backend", "50", "600", "no backend to give the packet to"]);
    hit(&mut app, KeyCode::Right);
    assert_eq!(app.tab, Tab::Overview);
    hit(&mut app, KeyCode::BackTab);
    assert_eq!(app.tab, Tab::Drops);
}

#[test]
fn rows_are_sorted_by_each_column_and_turned_round() {
    let mut app = app(Tab::Backends);
    let order =
        |app: &App| -> Vec<String> { app.rows().0.into_iter().filter_map(|row| Some(row.backend?.1)).collect() };
    assert_eq!(order(&app), ["web1", "web20", "mx"]);
    press(&mut app, "s");
    assert_eq!(order(&app), ["mx", "web1", "web20"], "by name");
    line(&frame(&mut app), &["backend▼"]);
    press(&mut app, "ssss");
    assert_eq!(order(&app), ["web20", "web1", "mx"], "by packets, the most first");
    press(&mut app, "S");
    assert_eq!(order(&app), ["mx", "web1", "web20"]);
    press(&mut app, "ssssssS");
    assert_eq!(order(&app), ["web1", "web20", "mx"], "as configured");
}

#[test]
fn a_filter_takes_names_and_states() {
    let mut app = app(Tab::Backends);
    press(&mut app, "/DOWN");
    assert!(frame(&mut app).contains("filter: DOWN"));
    let shown = |app: &App| app.rows().0.len();
    assert_eq!(shown(&app), 1);
    (0..4).for_each(|_| drop(hit(&mut app, KeyCode::Backspace)));
    press(&mut app, "web");
    assert_eq!(shown(&app), 2);
    assert_eq!(hit(&mut app, KeyCode::Enter), None);
    assert_eq!((shown(&app), &app.over), (2, &Over::Nothing));
    press(&mut app, "/xyz");
    assert!(frame(&mut app).contains("nothing passes the filter"));
    hit(&mut app, KeyCode::Esc);
    assert_eq!(shown(&app), 3);
    press(&mut app, "/q");
    assert_eq!(app.filter, "q", "a letter, not the end");
}

#[test]
fn the_selection_stays_on_its_backend() {
    let mut app = app(Tab::Backends);
    press(&mut app, "j");
    let selected = |app: &App| {
        let (rows, at) = app.rows();
        rows[at].key.clone()
    };
    assert_eq!(selected(&app), "web/web20 10.0.0.5");
    press(&mut app, "S");
    assert_eq!(selected(&app), "web/web20 10.0.0.5");
    press(&mut app, "SG");
    assert_eq!(selected(&app), "mail/mx 10.0.0.2");
    press(&mut app, "jjj");
    assert_eq!(selected(&app), "mail/mx 10.0.0.2", "the last one");
    let mut gone = status(13);
    gone.pools.pop();
    app.update(gone, 2_003.0);
    assert_eq!(selected(&app), "web/web1 10.0.0.4");
    press(&mut app, "kk");
    hit(&mut app, KeyCode::PageDown);
    assert_eq!(selected(&app), "web/web20 10.0.0.5");
}

#[test]
fn a_change_needs_a_yes() {
    let mut app = app(Tab::Backends);
    let order = |verb, backend: &str| Order { verb, pool: "web".to_owned(), backend: backend.to_owned() };
    assert_eq!(press(&mut app, "jd"), None);
    assert_eq!(app.over, Over::Confirm(order(Verb::Drain, "web20")));
    line(&frame(&mut app), &["drain web/web20?"]);
    assert_eq!(press(&mut app, "n"), None);
    assert_eq!(app.over, Over::Nothing);
    assert_eq!(press(&mut app, "d"), None);
    assert_eq!(hit(&mut app, KeyCode::Enter), None, "Enter is no yes");
    assert_eq!(press(&mut app, "dy"), Some(Effect::Order(order(Verb::Drain, "web20"))));
    assert_eq!(press(&mut app, "key"), Some(Effect::Order(order(Verb::Enable, "web1"))));
    app.tab = Tab::Vips;
    assert_eq!(press(&mut app, "dy"), None);
    assert!(frame(&mut app).contains("select it under Backends"));
}

#[test]
fn help_lies_over_everything_and_goes_away() {
    let mut app = app(Tab::Vips);
    press(&mut app, "?");
    line(&frame(&mut app), &["drain the selected backend"]);
    press(&mut app, "x");
    assert!(!frame(&mut app).contains("drain the selected backend"));
}

#[test]
fn quitting_has_two_ways_and_releases_are_no_keys() {
    assert_eq!(press(&mut app(Tab::Overview), "q"), Some(Effect::Quit));
    let mut app = app(Tab::Overview);
    assert_eq!(app.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Effect::Quit));
    let kind = ratatui::crossterm::event::KeyEventKind::Release;
    assert_eq!(app.key(KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, kind)), None);
}

#[test]
fn no_news_are_told_until_there_are_some() {
    let mut app = app(Tab::Overview);
    app.failure = Some("it is gone".to_owned());
    assert!(frame(&mut app).contains("no news: it is gone"));
    app.update(status(13), 2_003.0);
    assert!(!frame(&mut app).contains("no news"));
}

#[test]
fn the_smallest_terminal_and_ten_thousand_backends_are_drawn() {
    let mut many = status(12);
    many.pools[0].backends = (0..10_000).map(|n| backend(&format!("b{n:05}"), "up", n)).collect();
    let mut app = app(Tab::Backends);
    app.update(many, 2_003.0);
    for size in [(1, 1), (10, 3), (80, 24), (300, 100)] {
        for tab in Tab::ALL {
            app.tab = tab;
            for over in [Over::Nothing, Over::Help, Over::Filter] {
                app.over = over;
                text(&mut app, size).expect("memory takes it");
            }
        }
    }
    (app.tab, app.over) = (Tab::Backends, Over::Nothing);
    frame(&mut app);
    press(&mut app, "G");
    line(&frame(&mut app), &["mail/mx"]);
    press(&mut app, "k");
    line(&frame(&mut app), &["web/b09999"]);
}

#[test]
fn json_has_the_same_rates() {
    let app = app(Tab::Overview);
    let json = json(&app, app.status.as_ref().expect("a status"));
    assert_eq!(json["received_per_second"], 1_150.0);
    assert_eq!(json["vips"][0]["rate"]["packets_per_second"], 1_000.0);
    assert_eq!(
        (&json["pools"][0]["backends"][1]["backend"], &json["pools"][1]["rate"]["bits_per_second"]),
        (&"web20".into(), &80_000.0.into())
    );
    assert_eq!(json["workers"][0]["busy_share"], 0.25);
}
