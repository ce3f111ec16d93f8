//! Pages and Markdown of records: well-formed, complete, and nothing in them that a record's text could break.

use guideway_perf::machine::Machine;
use guideway_perf::maglev::report::{BalanceReport, CaseReport, Event, EventReport, Report};
use guideway_perf::present::{Axis, Plot, PlotKind, Series};
use guideway_perf::record::{Record, Results, Start};
use guideway_perf::show::{html, markdown, svg};
use guideway_perf::window::Spread;
use proptest::prelude::*;
use roxmltree::{Document, ParsingOptions};

/// Text that is markup wherever it is not escaped.
const NASTY: &str = "</style><script src=\"//example.net/x.js\">&amp;'`|*_\u{1}\u{ffff}\n# [a](b)";

fn exact(value: f64) -> Spread {
    Spread { median: value, min: value, max: value }
}

fn case(slots: u32, build: f64) -> CaseReport {
    CaseReport {
        slots,
        backends: 1_000,
        build_ms: Spread { median: build, min: build - 0.25, max: build + 0.5 },
        one_down_ms: exact(0.125),
        balance: BalanceReport { largest: 1.0625, smallest: 0.9375 },
        events: vec![EventReport {
            event: Event::Failed,
            changed: 10,
            needed_percent: exact(1.0),
            excess_percent: exact(0.0),
            rebuilt_excess_percent: Spread { median: 2.25, min: 2.0, max: 2.5 },
        }],
    }
}

fn record(text: &str, cases: Vec<CaseReport>) -> Record {
    let machine = Machine { processor: text.to_owned(), kernel: text.to_owned(), ..Machine::this(None, None) };
    let mut record = Record::new(Results::Maglev(Report { samples: 5, cases }), machine, Start::now());
    record.command_line = vec!["guideway".to_owned(), text.to_owned()];
    text.clone_into(&mut record.version);
    text.clone_into(&mut record.revision);
    record
}

fn parse(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap_or_else(|error| panic!("{error}\n{page}"))
}

/// All text of a page.
fn text(page: &Document<'_>) -> String {
    page.descendants().filter(|node| node.is_text()).filter_map(|node| node.text()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_page_is_well_formed_whatever_the_record_says() {
    let records = [record(NASTY, vec![case(257, 1.5), case(65_537, 7.5)]), record("plain", vec![])];
    let page = html::page(&records);
    let document = parse(&page);
    let names = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((names("script"), names("style"), names("h2")), (0, 1, 2));
    // What a browser shows of it is the text itself, but for what no page can hold.
    let shown = NASTY.replace(['\u{1}', '\u{ffff}'], "\u{fffd}");
    let cells = document.descendants().filter(|node| node.has_tag_name("td"));
    assert!(cells.filter(|cell| cell.text() == Some(&shown)).count() >= 2, "{page}");
}

#[test]
fn a_page_loads_nothing() {
    let page = html::page(&[record("plain", vec![case(257, 1.5)])]);
    for node in parse(&page).descendants() {
        assert!(!["link", "script", "img", "iframe", "object", "image", "use"].contains(&node.tag_name().name()));
        for attribute in node.attributes() {
            assert_ne!(attribute.name(), "src");
            assert!(attribute.name() != "href" || attribute.value().starts_with('#'), "{attribute:?}");
            assert!(!attribute.name().starts_with("on"), "{attribute:?}");
        }
    }
    let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
    assert!(!style.contains("url(") && !style.contains("@import"));
}

/// Every number in a value.
fn numbers(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Number(number) => found.push(number.to_string()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| numbers(value, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|value| numbers(value, found)),
        _ => {}
    }
}

#[test]
fn every_number_of_a_record_is_on_its_page() {
    let record = record("plain", vec![case(257, 1.5), case(65_537, 7.5)]);
    let page = html::page(std::slice::from_ref(&record));
    let document = parse(&page);
    let words = text(&document);
    let words: std::collections::HashSet<_> = words.split([' ', '\n', ',', '(', ')', '"']).collect();
    let mut expected = Vec::new();
    numbers(&serde_json::to_value(&record).expect("JSON"), &mut expected);
    assert!(expected.len() > 30);
    for number in expected {
        assert!(words.contains(&*number), "{number}");
    }
    // Not in the JSON alone: each table's cells, and the figures behind the bars.
    let cells: Vec<_> =
        document.descendants().filter(|node| node.has_tag_name("td")).filter_map(|n| n.text()).collect();
    for cell in record.results.present().tables().iter().flat_map(|table| table.rows.iter().flatten()) {
        assert!(cells.contains(&cell.as_str()), "{cell}");
    }
    for metric in record.results.present().metrics() {
        for value in [metric.value.median, metric.value.min, metric.value.max] {
            assert!(cells.contains(&value.to_string().as_str()), "{value}");
        }
    }
}

#[test]
fn markdown_has_the_tables_and_no_markup_of_the_record() {
    let record = record(NASTY, vec![case(257, 1.5), case(65_537, 7.5)]);
    let text = markdown::text(std::slice::from_ref(&record));
    for cell in record.results.present().tables().iter().flat_map(|table| table.rows.iter().flatten()) {
        assert!(text.contains(&markdown::escape(cell)), "{cell}");
    }
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
    for table in
        rows.chunk_by(|a, b| a.replace("\\|", "").matches('|').count() == b.replace("\\|", "").matches('|').count())
    {
        assert!(table.len() > 2, "a row of another width than its table: {table:?}");
    }
    let unfenced: String = text.split("```").step_by(2).collect();
    assert!(!unfenced.contains("<script") && !unfenced.contains(" [a]"), "{unfenced}");
}

fn values() -> impl Strategy<Value = f64> {
    prop_oneof![6 => -1e3..1e4, 2 => 0.0..1e-6, 1 => any::<f64>(), 1 => Just(0.0), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)]
}

fn spreads() -> impl Strategy<Value = Spread> {
    prop_oneof![
        4 => prop::collection::vec(-1e3..1e4, 1..5).prop_map(Spread::of),
        1 => (values(), values(), values()).prop_map(|(median, min, max)| Spread { median, min, max }),
    ]
}

fn plots() -> impl Strategy<Value = Plot> {
    let points = prop::collection::vec((prop_oneof![(0..6_u32).prop_map(f64::from), values()], spreads()), 0..12);
    let series = prop::collection::vec(points, 0..11);
    (any::<[bool; 3]>(), series, prop::collection::vec(".{0,90}", 0..6)).prop_map(
        |([bars, log_x, log_y], series, categories)| Plot {
            caption: NASTY.to_owned(),
            kind: if bars { PlotKind::Bars } else { PlotKind::Lines },
            x: Axis { label: NASTY.to_owned(), logarithmic: log_x, categories },
            y: Axis { label: NASTY.to_owned(), logarithmic: log_y, ..Axis::default() },
            series: series.into_iter().map(|points| Series { name: NASTY.to_owned(), points }).collect(),
        },
    )
}

/// The horizontal and the vertical places that an element names.
fn places(node: &roxmltree::Node<'_, '_>) -> (Vec<f64>, Vec<f64>) {
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{text} is no number"));
    let named = |names: &[&str]| names.iter().filter_map(|name| node.attribute(*name)).map(number).collect::<Vec<_>>();
    let (mut across, mut down) = (named(&["x", "x1", "x2", "cx"]), named(&["y", "y1", "y2", "cy"]));
    if let (Some(width), Some(height)) = (node.attribute("width"), node.attribute("height")) {
        across.push(across[0] + number(width));
        down.push(down[0] + number(height));
    }
    for point in node.attribute("points").unwrap_or_default().split_whitespace() {
        let (x, y) = point.split_once(',').expect("two numbers");
        across.push(number(x));
        down.push(number(y));
    }
    (across, down)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plots_stay_in_their_box(plot in plots()) {
        let drawing = svg::draw(&plot);
        let document = Document::parse(&drawing).unwrap_or_else(|error| panic!("{error}\n{drawing}"));
        // A place that is no number lies in no range.
        let box_of: Vec<f64> = document.root_element().attribute("viewBox").unwrap_or_default()
            .split(' ').map(|side| side.parse().expect("a number")).collect();
        for node in document.descendants().filter(|node| node.attribute("transform").is_none()) {
            let (across, down) = places(&node);
            prop_assert!(across.iter().all(|x| (0.0..=box_of[2]).contains(x)), "{:?}", node);
            prop_assert!(down.iter().all(|y| (0.0..=box_of[3]).contains(y)), "{:?}", node);
        }
    }

    #[test]
    fn each_point_is_drawn_or_counted(plot in plots()) {
        let document = svg::draw(&plot);
        let document = Document::parse(&document).expect("well-formed");
        let mark = if plot.kind == PlotKind::Bars { "rect" } else { "circle" };
        let drawn = document.descendants().filter(|node| node.has_tag_name(mark)).count();
        let all: usize = plot.series.iter().map(|series| series.points.len()).sum();
        prop_assert_eq!(drawn + svg::left_out(&plot), all);
    }

    #[test]
    fn escaped_text_is_read_back(text in ".*") {
        let element = format!("<a b=\"{0}\">{0}</a>", html::escape(&text));
        let document = Document::parse(&element).expect("well-formed");
        // Attributes have spaces for line ends, and neither can hold control characters.
        let kept: String = text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { c }).collect();
        prop_assert_eq!(document.root_element().text().unwrap_or_default(), &kept);
        prop_assert_eq!(document.root_element().attribute("b"), Some(&*kept.replace(['\n', '\t'], " ")));
    }
}

#[test]
fn bars_and_whiskers_are_in_proportion() {
    let spread = |median, min, max| Spread { median, min, max };
    let plot = Plot {
        caption: String::new(),
        kind: PlotKind::Bars,
        x: Axis { categories: vec!["one".to_owned(), "two".to_owned()], ..Axis::default() },
        y: Axis::default(),
        series: vec![Series {
            name: "net".to_owned(),
            points: vec![(0.0, spread(50.0, 40.0, 80.0)), (1.0, spread(100.0, 100.0, 100.0))],
        }],
    };
    let drawing = svg::draw(&plot);
    let document = Document::parse(&drawing).expect("well-formed");
    let bars = document.descendants().filter(|node| node.has_tag_name("rect"));
    let widths: Vec<f64> = bars.filter_map(|bar| bar.attribute("width")?.parse().ok()).collect();
    assert!((widths[1] - 400.0).abs() < 0.2 && (widths[0] - 200.0).abs() < 0.2, "{widths:?}");
    let whiskers: Vec<_> = document.descendants().filter(|node| node.attribute("class") == Some("whisker")).collect();
    assert_eq!(whiskers.len(), 3, "one line and two ends, of the bar that varies");
    assert_eq!((whiskers[0].attribute("x1"), whiskers[0].attribute("x2")), (Some("174.0"), Some("334.0")));
}
