//! Shows records: one page for a browser, tables in Markdown, and what changed from one run to another.
//!
//! Whatever implements [`Present`](crate::present::Present) is shown; nothing here knows a benchmark.

pub mod compare;
pub mod facts;
mod figure;
pub mod html;
pub mod markdown;
mod scale;
pub mod svg;

use crate::present::TableView;
use figure::looks_like_a_number;

/// Which columns hold numbers, or nothing, from top to bottom: they are aligned at the right.
fn numeric_columns(table: &TableView) -> Vec<bool> {
    let numeric = |column: usize| {
        let mut cells =
            table.rows.iter().filter_map(|row| row.get(column)).filter(|cell: &&String| !cell.is_empty()).peekable();
        cells.peek().is_some() && cells.all(|cell| looks_like_a_number(cell))
    };
    (0..table.columns.len()).map(numeric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_numbers_are_told_from_columns_of_text() {
        let row = |cells: [&str; 5]| cells.map(str::to_owned).to_vec();
        let table = TableView {
            caption: String::new(),
            columns: row(["case", "n", "spread", "sparse", "empty"]),
            rows: vec![row(["4in4", "1", "-1.5 (-2 - 3)", "", ""]), row(["ipip", "-", "2 (1 - 3)", "7 %", ""])],
        };
        assert_eq!(numeric_columns(&table), [false, true, true, true, false]);
    }
}
