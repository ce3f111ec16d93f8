//! The schema for editors and other tools: JSON Schema of draft 4, the latest that Taplo reads.

use super::kind::anchor;
use super::{CHAPTERS, Default, Entry};
use crate::schema::FILE;
use serde_json::{Map, Value, json};

/// The JSON Schema of a configuration file. It knows keys, types, words and bounds of numbers; what several keys say
/// together, and the bounds of durations, only the parser knows.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "Configuration of Guideway",
    });
    let mut sections = Map::new();
    for (section, entries) in CHAPTERS {
        if section.title == FILE.title {
            if let (Value::Object(whole), Value::Object(file)) = (&mut schema, table(entries)) {
                whole.extend(file);
            }
        } else {
            sections.insert(anchor(section.title), table(entries));
        }
    }
    schema["definitions"] = Value::Object(sections);
    schema
}

fn table(entries: &[Entry]) -> Value {
    let keys: Map<String, Value> = entries.iter().map(|entry| (entry.name.to_owned(), key(entry))).collect();
    let required: Vec<&str> =
        entries.iter().filter(|entry| matches!(entry.default, Default::Required)).map(|entry| entry.name).collect();
    let mut table = json!({ "type": "object", "additionalProperties": false, "properties": keys });
    // In draft 4 the list may not be empty.
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn key(entry: &Entry) -> Value {
    let mut schema = entry.kind.schema();
    // What stands beside a reference is not read.
    if schema.get("$ref").is_some() {
        schema = json!({ "allOf": [schema] });
    }
    schema["description"] = json!(entry.meaning);
    if let Default::Value(text) = entry.default
        && let Ok(value) = format!("value = {text}").parse::<toml::Table>()
    {
        schema["default"] = json!(value["value"]);
    }
    schema
}
