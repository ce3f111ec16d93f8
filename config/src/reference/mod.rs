//! Every key of the schema with all that a user wants to know of it: one list gives the reference for people
//! ([`markdown`]) and for editors ([`json_schema`]).
//!
//! The list says what the readers of the sections do, and tests hold it to them: bounds, words, types and defaults are
//! tried on the parser (`tests/reference.rs`), and what a reload does of a key on its comparison (in `control`).

mod example;
mod health;
mod json;
mod kind;
mod markdown;
mod network;
mod pool;
mod process;

pub use example::file_with;
pub use json::json_schema;
pub use kind::Kind;
pub use markdown::markdown;

use crate::schema::{self, Section};

/// What holds without the key.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// The key must be there.
    Required,
    /// What the key is for is off.
    Nothing,
    /// This value, as it is written in a file.
    Value(&'static str),
    /// Markdown: what it depends on.
    Said(&'static str),
}

/// What `guideway reload` does of a change of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Applies it; no connection breaks.
    Yes,
    /// Takes the table for another one: the one of before ends, as if its lines were gone.
    Another,
    /// Refuses it unless asked for with `--disruptive`.
    Disruptive,
    /// Refuses it.
    Restart,
}

/// One key.
#[derive(Debug)]
pub struct Entry {
    /// The key.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds without it.
    pub default: Default,
    /// What a reload does of a change.
    pub reload: Reload,
    /// Keys of one table as in an inline table: first this one, then what it needs beside it. Empty for a table of the
    /// file itself.
    pub example: &'static str,
    /// What it does, as Markdown without links.
    pub meaning: &'static str,
}

/// The entries of a section, each a key, its type, default, reload, example and meaning.
macro_rules! entries {
    ($(#[$doc:meta])* $chapter:ident;
     $($name:literal: $kind:expr, $default:expr, $reload:expr, $example:literal, $meaning:literal;)*) => {
        $(#[$doc])*
        pub(super) const $chapter: &[Entry] = &[$(Entry {
            name: $name,
            kind: $kind,
            default: $default,
            reload: $reload,
            example: $example,
            meaning: $meaning,
        },)*];
    };
}
use entries;

/// Every section with its entries, in the order of the schema.
pub const CHAPTERS: &[(&Section, &[Entry])] = &[
    (&schema::FILE, process::FILE),
    (&schema::FLEET, process::FLEET),
    (&schema::CORES, process::CORES),
    (&schema::DPDK, process::DPDK),
    (&schema::API, process::API),
    (&schema::STATE, process::STATE),
    (&schema::PORT, network::PORT),
    (&schema::INTERFACE, network::INTERFACE),
    (&schema::NEIGHBOR, network::NEIGHBOR),
    (&schema::ROUTE, network::ROUTE),
    (&schema::POOL, pool::POOL),
    (&schema::HEALTH, health::HEALTH),
    (&schema::AGENT, pool::AGENT),
    (&schema::IDLE_TIMEOUT, pool::IDLE_TIMEOUT),
    (&schema::BACKEND, pool::BACKEND),
    (&schema::QUIC_LB, pool::QUIC_LB),
    (&schema::VIP, network::VIP),
    (&schema::EXCEPTION, process::EXCEPTION),
    (&schema::AUDIT, process::AUDIT),
    (&schema::CONNECTIONS, process::CONNECTIONS),
    (&schema::CHANGES, process::CHANGES),
];

impl Default {
    /// As Markdown.
    fn words(self) -> String {
        match self {
            Self::Required => "required".to_owned(),
            Self::Nothing => "none".to_owned(),
            Self::Value(value) => format!("`{value}`"),
            Self::Said(words) => words.to_owned(),
        }
    }
}

impl Reload {
    /// As Markdown.
    fn words(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Another => "yes, as another one: the one of before ends",
            Self::Disruptive => "only with `--disruptive`, which breaks connections",
            Self::Restart => "no, it needs a restart",
        }
    }
}
