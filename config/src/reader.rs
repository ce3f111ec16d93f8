//! Takes keys out of tables by name and type, and reports what is missing, of another type, or left over.

use crate::names::{closest, quote};
use crate::report::Report;
use crate::scalar::Fault;
use crate::schema::{SECTIONS, Section};
use toml::de::{DeTable, DeValue};

/// A value with the byte offset at which it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located<T> {
    /// Byte offset in the file.
    pub(crate) at: usize,
    /// The value.
    pub(crate) value: T,
}

impl<T> Located<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located { at: self.at, value: change(self.value) }
    }
}

/// A table whose keys are taken one by one. Every built key of the section must be asked for before
/// [`Reader::finish`], whatever the others hold.
pub(crate) struct Reader<'a> {
    table: &'a DeTable<'a>,
    section: &'static Section,
    /// Where the table begins.
    pub(crate) at: usize,
    asked: Vec<&'static str>,
}

/// The value of one key, not looked at yet.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    key: &'static str,
    /// Where the value begins.
    pub(crate) at: usize,
    item: &'a DeValue<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(table: &'a DeTable<'a>, section: &'static Section, at: usize) -> Self {
        Self { table, section, at, asked: Vec::new() }
    }

    /// The value of an optional key.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        Some(Value { key, at: value.span().start, item: value.get_ref() })
    }

    /// Whether the table has the key, be it built or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&mut self, key: &'static str, report: &mut Report) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            report.error(self.at, format!("{} lacks the key `{key}`", self.section.title));
        }
        value
    }

    /// Reports the keys that the section does not have or that are not built yet.
    pub(crate) fn finish(self, report: &mut Report) {
        debug_assert!(
            self.section.built().all(|key| self.asked.contains(&key)),
            "a key of {} is never read",
            self.section.title
        );
        for key in self.table.keys() {
            let (at, name) = (key.span().start, key.get_ref().as_ref());
            match self.section.key(name).map(|known| known.refused) {
                Some(None) => {}
                Some(Some(instead)) => not_built(report, at, &format!("`{name}`"), instead),
                None => self.unknown(at, name, report),
            }
        }
    }

    fn unknown(&self, at: usize, name: &str, report: &mut Report) {
        let title = self.section.title;
        let finding = report.error(at, format!("unknown key {} in {title}", quote(name)));
        let known = || self.section.keys.iter().map(|key| key.name);
        if let Some(meant) = closest(name, known()) {
            finding.help(format!("did you mean `{meant}`?"));
        } else if let Some(other) = SECTIONS.iter().find(|section| section.key(name).is_some()) {
            finding.help(format!("`{name}` is a key of {}", other.title));
        } else {
            finding.help(format!("{title} knows {}", list(self.section.built())));
        }
    }
}

/// Reports something of the design that this version does not build, by its name.
pub(crate) fn not_built(report: &mut Report, at: usize, what: &str, instead: &str) {
    report.error(at, format!("{what} is not built yet")).help(instead);
}

/// `a`, `b`, `c`.
fn list<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// A word that a key may hold: its meaning, or what to do since it is not built yet.
pub(crate) type Word<T> = (&'static str, Result<T, &'static str>);

impl<'a> Value<'a> {
    /// A string.
    pub(crate) fn string(self, report: &mut Report) -> Option<Located<&'a str>> {
        match self.item {
            DeValue::String(text) => Some(Located { at: self.at, value: text.as_ref() }),
            _ => self.wrong("a string in quotes", report),
        }
    }

    /// The string, if it is one.
    pub(crate) fn as_str(self) -> Option<&'a str> {
        self.item.as_str()
    }

    /// Whether it is an integer.
    pub(crate) fn is_integer(self) -> bool {
        self.item.is_integer()
    }

    /// Whether it is an array of nothing but tables, as [`Value::tables`] reads it.
    pub(crate) fn is_tables(self) -> bool {
        matches!(self.item, DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()))
    }

    /// Whether it is an array without elements.
    pub(crate) fn is_empty(self) -> bool {
        matches!(self.item, DeValue::Array(items) if items.is_empty())
    }

    /// A number: an integer or a float.
    pub(crate) fn number(self) -> Option<f64> {
        match self.item {
            DeValue::Integer(_) => self.whole().map(|number| number as f64),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(self, report: &mut Report) -> Option<bool> {
        match self.item {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong("true or false", report),
        }
    }

    /// An integer from `low` to `high`.
    pub(crate) fn integer(self, low: u64, high: u64, report: &mut Report) -> Option<Located<u64>> {
        let expected = format!("an integer from {low} to {high}");
        let DeValue::Integer(written) = self.item else {
            return self.wrong(&expected, report);
        };
        match self.whole().and_then(|number| u64::try_from(number).ok()) {
            Some(value) if (low..=high).contains(&value) => Some(Located { at: self.at, value }),
            _ => {
                report.error(self.at, format!("`{}` must be {expected}, not {}", self.key, shorten(written.as_str())));
                None
            }
        }
    }

    fn whole(self) -> Option<i128> {
        match self.item {
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        }
    }

    /// A string that `parse` understands.
    pub(crate) fn parsed<T>(
        self,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
        report: &mut Report,
    ) -> Option<Located<T>> {
        let text = self.string(report)?;
        match parse(text.value) {
            Ok(value) => Some(Located { at: self.at, value }),
            Err(fault) => {
                let finding = report.error(self.at, format!("`{}`: {}", self.key, fault.message));
                if let Some(help) = fault.help {
                    finding.help(help);
                }
                None
            }
        }
    }

    /// One of some words; those that are not built yet are refused by name.
    pub(crate) fn word<T: Copy>(self, words: &[Word<T>], report: &mut Report) -> Option<Located<T>> {
        let text = self.string(report)?.value;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, Ok(value))) => Some(Located { at: self.at, value: *value }),
            Some((word, Err(instead))) => {
                not_built(report, self.at, &format!("{} = \"{word}\"", self.key), instead);
                None
            }
            None => {
                let known: Vec<&str> = words.iter().filter(|word| word.1.is_ok()).map(|word| word.0).collect();
                let finding = report.error(self.at, format!("`{}` cannot be {}", self.key, quote(text)));
                match closest(text, known.iter().copied()) {
                    Some(meant) => finding.help(format!("did you mean \"{meant}\"?")),
                    None => finding
                        .help(format!("use one of {}", known.iter().map(|w| quote(w)).collect::<Vec<_>>().join(", "))),
                };
                None
            }
        }
    }

    /// The elements of an array.
    pub(crate) fn array(self, of: &str, report: &mut Report) -> Option<Vec<Value<'a>>> {
        match self.item {
            DeValue::Array(items) => Some(
                items.iter().map(|item| Value { key: self.key, at: item.span().start, item: item.get_ref() }).collect(),
            ),
            _ => self.wrong(&format!("an array of {of}, in brackets"), report),
        }
    }

    /// A single table, to be read as `section`.
    pub(crate) fn table(self, section: &'static Section, report: &mut Report) -> Option<Reader<'a>> {
        match self.item {
            DeValue::Table(table) => Some(Reader::new(table, section, self.at)),
            DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
                self.wrong(&format!("one table: write {} once", section.title), report)
            }
            _ => self.wrong("a table", report),
        }
    }

    /// The tables of an array of tables, each to be read as `section`.
    pub(crate) fn tables(self, section: &'static Section, report: &mut Report) -> Vec<Reader<'a>> {
        let items = match self.item {
            DeValue::Array(items) => items,
            DeValue::Table(_) => {
                let title = section.title;
                report
                    .error(self.at, format!("`{}` is a list of tables", self.key))
                    .help(format!("write {title} with double brackets"));
                return Vec::new();
            }
            _ => {
                self.wrong::<()>(&format!("a list of tables: write {}", section.title), report);
                return Vec::new();
            }
        };
        let mut readers = Vec::with_capacity(items.len());
        for item in items.iter() {
            let value = Value { key: self.key, at: item.span().start, item: item.get_ref() };
            readers.extend(value.table(section, report));
        }
        readers
    }

    /// Reports that the value has another type than `expected`.
    pub(crate) fn wrong<T>(self, expected: &str, report: &mut Report) -> Option<T> {
        report.error(self.at, format!("`{}` must be {expected}, not {}", self.key, type_name(self.item)));
        None
    }
}

fn type_name(item: &DeValue<'_>) -> &'static str {
    match item {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() > 24 { text.chars().take(24).chain(['…']).collect() } else { text.to_owned() }
}
