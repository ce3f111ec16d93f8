//! Records as Markdown: tables as GitHub and most others read them, without plots.

use super::html::{distinct, figures};
use super::{facts, numeric_columns};
use crate::present::TableView;
use crate::record::Record;
use std::fmt::Write;

/// Text in a line or in a cell of a table, where none of it is markup.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A table.
#[must_use]
pub fn table(table: &TableView) -> String {
    let numeric = numeric_columns(table);
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let escaped = |cells: &[String]| row(&cells.iter().map(|cell| escape(cell)).collect::<Vec<_>>());
    let rules: Vec<_> = numeric.iter().map(|numeric| if *numeric { "---:" } else { "---" }.to_owned()).collect();
    escaped(&table.columns) + &row(&rules) + &table.rows.iter().map(|cells| escaped(cells)).collect::<String>()
}

/// The text of some records, in their order.
#[must_use]
pub fn text(records: &[Record]) -> String {
    let mut text = "# Guideway benchmarks\n\n".to_owned();
    let machines = distinct(records);
    let columns: Vec<_> = machines.iter().map(|(machine, _)| facts::of_machine(machine)).collect();
    let rows = columns.first().map_or(0, Vec::len);
    let row = |row: usize| {
        let cells = columns.iter().map(|column| column[row].1.clone());
        [columns[0][row].0.to_owned()].into_iter().chain(cells).collect()
    };
    let machine = TableView {
        caption: String::new(),
        columns: ["machine".to_owned()].into_iter().chain(machines.iter().map(|(_, runs)| runs.clone())).collect(),
        rows: (0..rows).map(row).collect(),
    };
    text += &table(&machine);
    for (number, record) in (1..).zip(records) {
        text += &section(number, record);
    }
    text
}

fn section(number: usize, record: &Record) -> String {
    let shown = record.results.present();
    let mut text = format!("\n## {number}. {}\n\n", escape(&shown.title()));
    let command = facts::command_line(record);
    let fence = fence(&command);
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "{fence}sh\n{command}\n{fence}\n\nBegan {}, took {:.1} s. Release {}, revision {}.\n",
        escape(&facts::started(record)),
        record.seconds,
        escape(&record.version),
        escape(&record.revision)
    );
    for sentence in shown.conditions() {
        let _ = write!(text, "\n{}\n", escape(&sentence));
    }
    for view in shown.tables() {
        let _ = write!(text, "\n### {}\n\n{}", escape(&view.caption), table(&view));
    }
    let _ = write!(text, "\n### Figures that runs are compared by\n\n{}", table(&figures(&shown.metrics())));
    text
}

/// A fence that does not occur in `text`.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(3.max(longest + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_cells_is_text() {
        let view = TableView {
            caption: String::new(),
            columns: vec!["a|b".to_owned(), "n".to_owned()],
            rows: vec![vec!["<b>*x*\n_y_".to_owned(), "1".to_owned()]],
        };
        assert_eq!(table(&view), "| a\\|b | n |\n| --- | ---: |\n| &lt;b&gt;\\*x\\* \\_y\\_ | 1 |\n");
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_text() {
        assert_eq!(fence("a"), "```");
        assert_eq!(fence("a ```` b `"), "`````");
    }
}
