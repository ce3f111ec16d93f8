//! One page for a browser: everything is in it, nothing is loaded, no script runs.

use super::figure::figure;
use super::{facts, numeric_columns, svg};
use crate::machine::Machine;
use crate::present::{Better, Metric, Plot, Present, TableView};
use crate::record::Record;
use std::fmt::Write;

/// Looks of the page and of its plots.
const STYLE: &str = include_str!("page.css");

/// Letters of a commit that tell it from others.
const SHORT_REVISION: usize = 12;

/// Text between tags or in a quoted attribute. Control characters that HTML does not allow are replaced.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The page of some records, in their order.
#[must_use]
pub fn page(records: &[Record]) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>Guideway benchmarks</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>Guideway benchmarks</h1>\n"
    );
    runs(&mut page, records);
    machines(&mut page, records);
    for (number, record) in (1..).zip(records) {
        section(&mut page, number, record);
    }
    page + "</body>\n</html>\n"
}

/// Adds pieces of text to a page; that does not fail.
macro_rules! add {
    ($page:expr, $($text:tt)*) => {{ let _ = write!($page, $($text)*); }};
}

fn runs(page: &mut String, records: &[Record]) {
    page.push_str("<div class=\"wide\"><table>\n<caption>Runs</caption>\n<thead><tr>");
    for column in ["", "benchmark", "began", "took", "release", "revision", "command"] {
        add!(page, "<th>{column}</th>");
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for (number, record) in (1..).zip(records) {
        add!(
            page,
            "<tr><td class=\"n\">{number}</td><td class=\"title\"><a href=\"#run-{number}\">{}</a></td><td><time>{}</time></td>\
             <td class=\"n\">{} s</td><td>{}</td><td><code>{}</code></td><td><code>{}</code></td></tr>\n",
            escape(&record.results.present().title()),
            escape(&facts::started(record)),
            figure(record.seconds),
            escape(&record.version),
            escape(&short(&record.revision)),
            escape(&facts::command_line(record))
        );
    }
    page.push_str("</tbody></table></div>\n");
}

/// The first letters of a commit, and whether there was more.
fn short(revision: &str) -> String {
    let (commit, dirty) = revision.split_once('-').map_or((revision, ""), |(commit, _)| (commit, "-dirty"));
    commit.chars().take(SHORT_REVISION).chain(dirty.chars()).collect()
}

/// Machines that differ, each with the numbers of its runs.
pub(super) fn distinct(records: &[Record]) -> Vec<(&Machine, String)> {
    let mut found: Vec<(&Machine, Vec<String>)> = Vec::new();
    for (number, record) in (1..).zip(records) {
        let number = format!("{number}");
        match found.iter_mut().find(|(machine, _)| facts::of_machine(machine) == facts::of_machine(&record.machine)) {
            Some((_, numbers)) => numbers.push(number),
            None => found.push((&record.machine, vec![number])),
        }
    }
    let heading = |count: usize, numbers: &[String]| match (count, numbers) {
        (1, _) => "all runs".to_owned(),
        (_, [number]) => format!("run {number}"),
        _ => format!("runs {}", numbers.join(", ")),
    };
    let count = found.len();
    found.into_iter().map(|(machine, numbers)| (machine, heading(count, &numbers))).collect()
}

fn machines(page: &mut String, records: &[Record]) {
    let machines = distinct(records);
    page.push_str("<div class=\"wide\"><table>\n<caption>Machine</caption>\n<thead><tr><th></th>");
    for (_, runs) in &machines {
        add!(page, "<th>{runs}</th>");
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    let columns: Vec<_> = machines.iter().map(|(machine, _)| facts::of_machine(machine)).collect();
    let rows = columns.first().map_or(0, Vec::len);
    for row in 0..rows {
        add!(page, "<tr><th>{}</th>", columns[0][row].0);
        for column in &columns {
            add!(page, "<td>{}</td>", escape(&column[row].1));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

fn section(page: &mut String, number: usize, record: &Record) {
    let shown: &dyn Present = record.results.present();
    add!(page, "<section>\n<h2 id=\"run-{number}\">{number}. {}</h2>\n", escape(&shown.title()));
    add!(
        page,
        "<p><code>{}</code></p>\n<p class=\"quiet\">Release {}, revision <code>{}</code></p>\n",
        escape(&facts::command_line(record)),
        escape(&record.version),
        escape(&record.revision)
    );
    for sentence in shown.conditions() {
        add!(page, "<p class=\"quiet\">{}</p>\n", escape(&sentence));
    }
    for shown in shown.tables() {
        table(page, &shown);
    }
    page.push_str("<div class=\"plots\">\n");
    for shown in shown.plots() {
        plot(page, &shown);
    }
    page.push_str("</div>\n");
    page.push_str("<details><summary>Figures that runs are compared by</summary>\n");
    table(page, &figures(&shown.metrics()));
    page.push_str("</details>\n");
    // Serialization fails for nothing that a record holds.
    let json = record.to_json().unwrap_or_default();
    add!(page, "<details><summary>The record</summary><pre>{}</pre></details>\n</section>\n", escape(&json));
}

/// Metrics as a table.
pub(super) fn figures(metrics: &[Metric]) -> TableView {
    let row = |metric: &Metric| {
        let better = if metric.better == Better::Lower { "lower" } else { "higher" };
        let [median, min, max] = [metric.value.median, metric.value.min, metric.value.max].map(figure);
        vec![metric.key.clone(), metric.unit.to_owned(), better.to_owned(), median, min, max]
    };
    TableView {
        caption: "Figures".to_owned(),
        columns: ["case", "unit", "better", "median", "lowest", "highest"].map(str::to_owned).into(),
        rows: metrics.iter().map(row).collect(),
    }
}

fn table(page: &mut String, table: &TableView) {
    let numeric = numeric_columns(table);
    let class = |column: usize| if numeric.get(column) == Some(&true) { " class=\"n\"" } else { "" };
    add!(page, "<div class=\"wide\"><table>\n<caption>{}</caption>\n<thead><tr>", escape(&table.caption));
    for (column, name) in table.columns.iter().enumerate() {
        add!(page, "<th{}>{}</th>", class(column), escape(name));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            add!(page, "<td{}>{}</td>", class(column), escape(cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

fn plot(page: &mut String, plot: &Plot) {
    add!(page, "<figure>\n<figcaption>{}</figcaption>\n", escape(&plot.caption));
    if plot.series.len() > 1 {
        page.push_str("<ul class=\"legend\">");
        for (place, series) in plot.series.iter().enumerate() {
            add!(page, "<li><i class=\"{}\"></i>{}</li>", svg::class(place), escape(&series.name));
        }
        page.push_str("</ul>\n");
    }
    page.push_str(&svg::draw(plot));
    let left_out = svg::left_out(plot);
    if left_out > 0 {
        let why = if plot.x.logarithmic || plot.y.logarithmic { "zero or less on a logarithmic axis, or " } else { "" };
        add!(page, "<p class=\"quiet\">Points that are not drawn, being {why}no numbers: {left_out}</p>\n");
    }
    page.push_str("</figure>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::{Axis, PlotKind, Series};
    use crate::window::Spread;
    use roxmltree::Document;

    /// Text that is markup wherever it is not escaped.
    const NASTY: &str = "</table><script src=\"//example.net/x.js\">&amp;'`|";

    #[test]
    fn what_a_benchmark_says_is_text() {
        let text = || NASTY.to_owned();
        let axis = || Axis { label: text(), categories: vec![text()], ..Axis::default() };
        let point = (0.0, Spread { median: 1.0, min: 0.5, max: 2.0 });
        let series = || Series { name: text(), points: vec![point] };
        for kind in [PlotKind::Bars, PlotKind::Lines] {
            let mut page = "<body>".to_owned();
            table(&mut page, &TableView { caption: text(), columns: vec![text()], rows: vec![vec![text()]] });
            plot(&mut page, &Plot { caption: text(), kind, x: axis(), y: axis(), series: vec![series(), series()] });
            page.push_str("</body>");
            let document = Document::parse(&page).unwrap_or_else(|error| panic!("{error}\n{page}"));
            for name in ["caption", "th", "td", "figcaption", "li"] {
                let node = document.descendants().find(|node| node.has_tag_name(name)).expect(name);
                assert_eq!(node.children().filter_map(|child| child.text()).collect::<String>(), NASTY, "{name}");
            }
            assert!(document.descendants().all(|node| !node.has_tag_name("script")));
        }
    }

    #[test]
    fn points_without_a_place_are_counted() {
        let points = [0.0, 1.0, f64::NAN].map(|median| (1.0, Spread { median, min: median, max: median })).to_vec();
        let series = vec![Series { name: String::new(), points }];
        let y = Axis { logarithmic: true, ..Axis::default() };
        let shown = Plot { caption: String::new(), kind: PlotKind::Lines, x: Axis::default(), y, series };
        let mut page = String::new();
        plot(&mut page, &shown);
        assert!(page.contains("logarithmic axis, or no numbers: 2</p>"), "{page}");
    }

    #[test]
    fn a_commit_is_short_and_still_dirty() {
        assert_eq!(short("0123456789abcdef0123-dirty"), "0123456789ab-dirty");
        assert_eq!(short("unknown"), "unknown");
    }
}
