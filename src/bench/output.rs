//! Where results go: a table on the terminal, JSON, a file.

use crate::Failure;
use guideway_dpdk::Tsc;
use guideway_perf::machine::Machine;
use guideway_perf::present::{Present, TableView};
use guideway_perf::record::{Record, Results, Start};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Options of every benchmark that leaves a record.
#[derive(clap::Args)]
pub(super) struct OutputArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write JSON to a file, for `bench report` and `bench compare`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// When a benchmark began, and on what machine.
pub(super) struct Begun {
    start: Start,
    machine: Machine,
}

/// A benchmark begins. Before it pins this thread to one core: the machine is what this process may use.
pub(super) fn begin() -> Begun {
    let machine = Machine::this(Some(guideway_dpdk::version()), Some(Tsc::calibrate().hz()));
    Begun { start: Start::now(), machine }
}

/// Shows results as asked for.
pub(super) fn show(args: &OutputArgs, results: Results, begun: Begun) -> Result<(), Failure> {
    if !args.json {
        print!("{}", text(results.present()));
    }
    if !args.json && args.out.is_none() {
        return Ok(());
    }
    let record = Record::new(results, begun.machine, begun.start);
    if args.json {
        print!("{}", record.to_json()?);
    }
    if let Some(path) = &args.out {
        record.write(path).map_err(|error| Failure::Usage(format!("{error}; give another --out")))?;
    }
    Ok(())
}

/// What a benchmark found, for a terminal.
fn text(present: &dyn Present) -> String {
    let mut text = format!("{}\n", present.title());
    for sentence in present.conditions() {
        text += &format!("  {sentence}\n");
    }
    for table in present.tables().iter().filter(|table| !table.rows.is_empty()) {
        text += &format!("\n{}\n{}", table.caption, aligned(table));
    }
    text
}

/// Columns as wide as their longest cell; numbers to the right.
fn aligned(table: &TableView) -> String {
    let rows = || std::iter::once(&table.columns).chain(&table.rows);
    let width = |column: usize| rows().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..table.columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    let is_text = |column: usize| {
        table.rows.iter().filter_map(|row| row.get(column)).any(|cell| cell != "-" && cell.parse::<f64>().is_err())
    };
    let lefts: Vec<bool> = (0..widths.len()).map(is_text).collect();
    let mut text = String::new();
    for row in rows() {
        let cells = row.iter().zip(&widths).zip(&lefts);
        let cell = |((cell, &width), &left): ((&String, &usize), &bool)| {
            if left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        };
        text += cells.map(cell).collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// A line on the terminal that tells what is going on; nothing where standard error is no terminal.
pub(super) fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    // No thread that ticks: it would run on one of the cores that are measured.
    bar.tick();
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let cells = |row: [&str; 3]| row.map(str::to_owned).to_vec();
        let rows = vec![cells(["l2dsr", "7.5", "-"]), cells(["x", "12.25", "3"])];
        let table = TableView { caption: String::new(), columns: cells(["case", "Mpps", "lost"]), rows };
        assert_eq!(aligned(&table), "case    Mpps  lost\nl2dsr    7.5     -\nx      12.25     3\n");
    }
}
