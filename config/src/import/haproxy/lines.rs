//! The text of haproxy.cfg as sections of lines of words.

use crate::import::model::Found;
use crate::import::time::with_unit;
use std::time::Duration;

/// What a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Defaults,
    Listen,
    Frontend,
    Backend,
    Other,
}

/// A line in a section.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    pub(super) words: Vec<String>,
}

impl Line {
    /// One of its words; empty if there are fewer.
    pub(super) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// Its words from `from` on.
    pub(super) fn rest(&self, from: usize) -> impl Iterator<Item = &str> {
        self.words.iter().skip(from).map(String::as_str)
    }

    /// Whether it begins with the words of `key`.
    pub(super) fn is(&self, key: &str) -> bool {
        key.split(' ').enumerate().all(|(index, word)| self.word(index) == word)
    }
}

/// A section, with the defaults that it takes.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) kind: Kind,
    keyword: String,
    pub(super) name: String,
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// Of the `defaults` section that it takes.
    pub(super) defaults: Vec<Line>,
    pub(super) lines: Vec<Line>,
}

impl Section {
    /// How it begins.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.keyword, self.name).trim_end().to_owned()
    }

    /// The last line of that key, its own before that of the defaults.
    pub(super) fn last(&self, key: &str) -> Option<&Line> {
        let of = |lines: &'_ [Line]| lines.iter().rposition(|line| line.is(key));
        of(&self.lines).map(|at| &self.lines[at]).or_else(|| of(&self.defaults).map(|at| &self.defaults[at]))
    }

    /// All its own lines of a key.
    pub(super) fn all(&self, key: &'static str) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.is(key))
    }

    /// The time behind a key.
    pub(super) fn time(&self, key: &str) -> Option<Duration> {
        self.last(key).and_then(|line| with_unit(line.word(key.split(' ').count())))
    }

    /// `tcp` unless it says something else.
    pub(super) fn mode(&self) -> &str {
        self.last("mode").map_or("tcp", |line| line.word(1))
    }
}

/// A keyword that begins a section.
fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "defaults" => Kind::Defaults,
        "listen" => Kind::Listen,
        "frontend" => Kind::Frontend,
        "backend" => Kind::Backend,
        "global" | "peers" | "userlist" | "resolvers" | "mailers" | "program" | "ring" | "http-errors" | "cache"
        | "log-forward" | "fcgi-app" | "crt-list" | "crt-store" | "traces" | "log-profile" | "acme" => Kind::Other,
        _ => return None,
    })
}

pub(super) fn read(text: &str, found: &mut Found) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, text) in (1..).zip(text.lines()) {
        let words = split(text);
        let Some(first) = words.first() else { continue };
        let line = Line { number, words: words.clone() };
        match (kind(first), sections.last_mut()) {
            (Some(kind), _) => {
                let defaults = defaults(&line, kind, &sections);
                let name = line.words.get(1).filter(|name| *name != "from").cloned().unwrap_or_default();
                let keyword = first.clone();
                sections.push(Section { kind, keyword, name, line: number, defaults, lines: Vec::new() });
            }
            (None, Some(section)) => section.lines.push(line),
            (None, None) => found.note(number, first, "it stands before the first section", "remove it"),
        }
    }
    sections
}

/// The lines of the defaults that a section takes: those that it names, else the last ones before it.
fn defaults(line: &Line, kind: Kind, before: &[Section]) -> Vec<Line> {
    let from = line.words.iter().position(|word| word == "from").map(|at| line.word(at + 1));
    let mut defaults = before.iter().rev().filter(|section| section.kind == Kind::Defaults);
    let taken = match (kind, from) {
        (Kind::Other, _) | (Kind::Defaults, None) => None,
        (_, Some(from)) => defaults.find(|section| section.name == from),
        (_, None) => defaults.next(),
    };
    taken.map_or(Vec::new(), |section| [&section.defaults[..], &section.lines].concat())
}

/// Words, with quotes and escapes (configuration manual of HAProxy, section 2.2), up to a comment.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, '#') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
