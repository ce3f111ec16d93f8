//! What values a key takes: for the reader in words, for an editor as JSON Schema.

use serde_json::{Value, json};

/// The type of a key, with its unit and bounds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number between two that are allowed, of a unit or of none (empty).
    Integer {
        /// The lowest.
        low: u64,
        /// The highest.
        high: u64,
        /// What it counts.
        unit: &'static str,
    },
    /// A prime number between two that are allowed. JSON Schema cannot say *prime*.
    Prime {
        /// The lowest.
        low: u64,
        /// The highest.
        high: u64,
    },
    /// One of these strings.
    Words(&'static [&'static str]),
    /// A string: a number and a unit of time. The bounds are written as in a file.
    Duration {
        /// The shortest.
        low: &'static str,
        /// The longest.
        high: &'static str,
    },
    /// Bytes, or a string with KiB, MiB or GiB.
    Size,
    /// A number from 0 to 1, or a string in percent.
    Share,
    /// A string of a form, and the regular expression (ECMA-262) that it matches, empty for any.
    Text {
        /// The form in words.
        form: &'static str,
        /// The expression.
        pattern: &'static str,
    },
    /// An array.
    List(&'static Kind),
    /// Any of these.
    OneOf(&'static [Kind]),
    /// A table: the title of its section.
    Table(&'static str),
    /// An array of tables: the title of their section.
    Tables(&'static str),
}

pub(super) use Kind::{Boolean, Duration, Integer, List, OneOf, Prime, Share, Size, Table, Tables, Words};

const fn text(form: &'static str, pattern: &'static str) -> Kind {
    Kind::Text { form, pattern }
}

pub(super) const TEXT: Kind = text("string", "");
pub(super) const NAME: Kind = text("name", "^[A-Za-z0-9_.:-]{1,64}$");
pub(super) const KEY: Kind = text("string of 32 hexadecimal digits", "^[0-9A-Fa-f]{32}$");
pub(super) const SERVER_ID: Kind =
    text("string of 2 to 30 hexadecimal digits, two for each byte", "^([0-9A-Fa-f]{2}){1,15}$");
pub(super) const BYTES: Kind = text("string of hexadecimal digits, two for each byte", "^([0-9A-Fa-f]{2})+$");
pub(super) const PATH: Kind = text("absolute path", "^/");
pub(super) const PATH_OF_URL: Kind = text("string that begins with `/`", "^/");
pub(super) const SOCKET: Kind = text(
    "address and port, as `\"192.0.2.9:514\"` or `\"[2001:db8::9]:514\"`",
    r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$",
);
pub(super) const NO_TOKEN: Kind = text("`\"none\"`", "^none$");
pub(super) const ADDRESS: Kind = text("address", "^[0-9A-Fa-f:.]+$");
pub(super) const BLOCK: Kind = text("address or prefix", "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$");
pub(super) const SUBNET: Kind = text("address with the length of its subnet's prefix", "^[0-9A-Fa-f:.]+/[0-9]{1,3}$");
pub(super) const DESTINATION: Kind = text("`\"default\"` or prefix", "^(default|[0-9A-Fa-f:.]+/[0-9]{1,3})$");
pub(super) const MAC: Kind =
    text("string of six pairs of hexadecimal digits with colons", "^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$");
pub(super) const PORTS: Kind = text("string: a range such as `\"8000-8099\"`, or `\"any\"`", "^(any|[0-9]+-[0-9]+)$");
pub(super) const CORE: Kind = Integer { low: 0, high: 1023, unit: "the kernel's number of a core" };
const CODE: Kind = Integer { low: 100, high: 599, unit: "" };
const CODES: Kind = text("string such as `\"200-299\"`", "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$");
pub(super) const STATUS: Kind = OneOf(&[CODE, CODES, List(&OneOf(&[CODE, CODES]))]);

impl Kind {
    /// The type in words, as Markdown.
    #[must_use]
    pub fn words(&self) -> String {
        match *self {
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Integer { low, high, unit: "" } => format!("integer, {low} to {high}"),
            Self::Integer { low, high, unit } => format!("integer, {low} to {high} ({unit})"),
            Self::Prime { low, high } => format!("prime integer, {low} to {high}"),
            Self::Words(words) => any_of(words.iter().map(|word| format!("`\"{word}\"`"))),
            Self::Duration { low, high } => format!("duration, `\"{low}\"` to `\"{high}\"`"),
            Self::Size => "size (bytes)".to_owned(),
            Self::Share => "share".to_owned(),
            Self::Text { form, .. } => form.to_owned(),
            Self::List(of) => format!("array; each {}", of.words()),
            Self::OneOf(kinds) => any_of(kinds.iter().map(Self::words)),
            Self::Table(title) => format!("table, see [`{title}`](#{})", anchor(title)),
            Self::Tables(title) => format!("array of tables, see [`{title}`](#{})", anchor(title)),
        }
    }

    /// The same as JSON Schema (draft 4). Tables refer to the definitions of their sections.
    pub(super) fn schema(&self) -> Value {
        match *self {
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Integer { low, high, .. } | Self::Prime { low, high } => {
                json!({ "type": "integer", "minimum": low, "maximum": high })
            }
            Self::Words(words) => json!({ "enum": words }),
            Self::Duration { .. } => json!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,9})?(us|ms|s|m|h)$" }),
            Self::Size => json!({ "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+ *(KiB|MiB|GiB)?$" },
            ] }),
            Self::Share => json!({ "anyOf": [
                { "type": "number", "minimum": 0, "maximum": 1 },
                { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$" },
            ] }),
            Self::Text { pattern: "", .. } => json!({ "type": "string" }),
            Self::Text { pattern, .. } => json!({ "type": "string", "pattern": pattern }),
            Self::List(of) => json!({ "type": "array", "items": of.schema() }),
            Self::OneOf(kinds) => json!({ "anyOf": kinds.iter().map(Self::schema).collect::<Vec<_>>() }),
            Self::Table(title) => json!({ "$ref": format!("#/definitions/{}", anchor(title)) }),
            Self::Tables(title) => json!({ "type": "array", "items": Self::Table(title).schema() }),
        }
    }
}

/// The anchor of a section's heading, which is its name in the JSON Schema, too.
pub(super) fn anchor(title: &str) -> String {
    title.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
}

/// a, b or c.
fn any_of(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
