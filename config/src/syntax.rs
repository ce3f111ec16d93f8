//! TOML text into a tree with positions; all syntax errors, each at its place.

use crate::names::quote;
use crate::report::Report;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const DUPLICATE: &str = "duplicate key";

/// Reads the tree of `source`.
///
/// `None` after a syntax error. Keys given twice are errors too, but leave a usable tree (the first one counts), so
/// that the rest of the file is still checked.
pub(crate) fn read<'s>(source: &'s str, report: &mut Report) -> Option<Spanned<DeTable<'s>>> {
    if let Some(at) = source.find('\0') {
        report.error(at, "the file contains a NUL byte: it is a binary file, not a TOML configuration");
        return None;
    }
    if source.trim().is_empty() {
        report
            .error(0, "the file is empty")
            .help("a configuration needs at least [fleet], [cores] and one [[port]]: see the examples");
        return None;
    }
    let (tree, errors) = DeTable::parse_recoverable(source);
    let mut usable = true;
    let mut tables = None;
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        if error.message() == DUPLICATE {
            let tables = tables.get_or_insert_with(|| Tables::new(tree.get_ref()));
            duplicate(source, span, tables, report);
        } else {
            usable = false;
            report.error(span.start, format!("TOML syntax: {}", error.message()));
        }
    }
    usable.then_some(tree)
}

fn duplicate(source: &str, span: std::ops::Range<usize>, tables: &Tables<'_>, report: &mut Report) {
    let key = source.get(span.clone()).unwrap_or_default();
    let first = earlier_header(source, span.start).or_else(|| tables.key_before(key, span.start));
    let finding = report.error(span.start, format!("the key {} is given twice", quote(key)));
    finding.help("keep one of them");
    if let Some(first) = first {
        finding.related(first, "first given");
    }
}

/// The first line that holds the same table header as the line of byte `at`, if that line is a header.
fn earlier_header(source: &str, at: usize) -> Option<usize> {
    let start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = source[start..].lines().next()?.trim();
    let header = line.starts_with('[').then(|| line.split('#').next().unwrap_or(line).trim())?;
    let mut offset = 0;
    for earlier in source[..start].split_inclusive('\n') {
        if earlier.split('#').next().is_some_and(|text| text.trim() == header) {
            return Some(offset);
        }
        offset += earlier.len();
    }
    None
}

/// All tables with a header of their own, by the place of that header.
struct Tables<'t> {
    by_start: Vec<(usize, &'t DeTable<'t>)>,
}

impl<'t> Tables<'t> {
    fn new(root: &'t DeTable<'t>) -> Self {
        let mut by_start = Vec::new();
        collect(0, root, &mut by_start);
        by_start.sort_by_key(|&(start, _)| start);
        Self { by_start }
    }

    /// Where the table around byte `at` defines `key` before that byte.
    fn key_before(&self, key: &str, at: usize) -> Option<usize> {
        let index = self.by_start.partition_point(|&(start, _)| start <= at);
        let (_, mut table) = *self.by_start.get(index.checked_sub(1)?)?;
        while let Some(inner) = inline_around(table, at) {
            table = inner;
        }
        let (first, _) = table.get_key_value(key)?;
        (first.span().start < at).then_some(first.span().start)
    }
}

fn collect<'t>(start: usize, table: &'t DeTable<'t>, found: &mut Vec<(usize, &'t DeTable<'t>)>) {
    found.push((start, table));
    for value in table.values() {
        match value.get_ref() {
            DeValue::Table(inner) => collect(value.span().start, inner, found),
            DeValue::Array(items) => {
                for item in items.iter() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        collect(item.span().start, inner, found);
                    }
                }
            }
            _ => {}
        }
    }
}

fn inline_around<'t>(table: &'t DeTable<'t>, at: usize) -> Option<&'t DeTable<'t>> {
    table.values().find_map(|value| match value.get_ref() {
        DeValue::Table(inner) if value.span().contains(&at) => Some(inner),
        _ => None,
    })
}
