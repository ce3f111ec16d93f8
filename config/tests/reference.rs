//! The reference of the configuration says what the parser does, and `docs/configuration-reference.md` what the reference
//! says.

use guideway_config::model::Config;
use guideway_config::reference::{CHAPTERS, Default, Entry, Kind, file_with, json_schema, markdown};
use guideway_config::schema::{FILE, SECTIONS, Section};
use guideway_config::{Diagnostic, parse};
use std::path::Path;

/// Set, it makes the test write the page instead of comparing it.
const WRITE: &str = "GUIDEWAY_WRITE_DOCS";

/// Every entry of a section, those of the file itself aside: these are whole tables.
fn entries() -> impl Iterator<Item = (&'static Section, &'static Entry)> {
    let chapters = CHAPTERS.iter().filter(|(section, _)| section.title != FILE.title);
    chapters.flat_map(|(section, entries)| entries.iter().map(|entry| (*section, entry)))
}

fn read(section: &Section, keys: &str, without: &[&str]) -> Result<Config, Vec<Diagnostic>> {
    let file = file_with(section, keys, without).unwrap_or_else(|| panic!("{}: {keys}: no TOML", section.title));
    parse(&file, None).map(|parsed| parsed.config)
}

/// An entry's example with another value.
fn with(entry: &Entry, value: &str) -> String {
    let needs = entry.beside();
    format!("{} = {value}{}{needs}", entry.name, if needs.is_empty() { "" } else { ", " })
}

/// What is said against `value` in place of an entry's example.
fn against(section: &Section, entry: &Entry, value: &str) -> Vec<String> {
    let errors = read(section, &with(entry, value), &[]).err().unwrap_or_default();
    errors.iter().map(Diagnostic::to_string).collect()
}

#[test]
fn the_page_is_what_the_reference_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration-reference.md");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(committed, markdown(), "docs/configuration-reference.md is not what {WRITE}=1 would write");
}

#[test]
fn every_key_that_is_built_has_one_entry() {
    let titles = |sections: &[&Section]| sections.iter().map(|section| section.title).collect::<Vec<_>>();
    let chapters: Vec<&Section> = CHAPTERS.iter().map(|(section, _)| *section).collect();
    assert_eq!(titles(&chapters), titles(SECTIONS));
    for (section, entries) in CHAPTERS {
        let mut listed: Vec<_> = entries.iter().map(|entry| entry.name).collect();
        let mut built: Vec<_> = section.built().collect();
        listed.sort_unstable();
        built.sort_unstable();
        assert_eq!(listed, built, "keys of {}", section.title);
        for entry in *entries {
            assert!(entry.meaning.ends_with('.'), "{} of {}: {:?}", entry.name, section.title, entry.meaning);
            assert_eq!(entry.example.is_empty(), section.title == FILE.title, "{} of {}", entry.name, section.title);
        }
    }
}

#[test]
fn every_example_is_good_and_shows_its_key_first() {
    for (section, entry) in entries() {
        assert!(entry.example.starts_with(&format!("{} = ", entry.name)), "{}", entry.example);
        if let Err(errors) = read(section, entry.example, &[]) {
            panic!("{}: {}: {errors:#?}", section.title, entry.example);
        }
    }
}

#[test]
fn a_required_key_is_missed_and_no_other() {
    for (section, entry) in entries() {
        let missed = format!("lacks the key `{}`", entry.name);
        let errors = read(section, "", &[entry.name]).err().unwrap_or_default();
        let said = errors.iter().any(|error| error.message.contains(&missed));
        assert_eq!(said, matches!(entry.default, Default::Required), "{} {}: {errors:?}", section.title, entry.name);
    }
}

#[test]
fn a_default_changes_nothing() {
    for (section, entry) in entries() {
        let Default::Value(value) = entry.default else { continue };
        let without = read(section, &entry.beside(), &[entry.name]);
        let with = read(section, &with(entry, value), &[]);
        assert!(with.is_ok(), "{} {} = {value}: {with:?}", section.title, entry.name);
        assert_eq!(with, without, "{} {} = {value} is not the default", section.title, entry.name);
    }
}

#[test]
fn a_value_of_another_type_is_refused() {
    for (section, entry) in entries() {
        let errors = against(section, entry, "1979-05-27");
        let said = errors.iter().any(|error| error.contains("not a date"));
        assert!(said, "{} {}: {errors:?}", section.title, entry.name);
    }
}

#[test]
fn words_are_those_of_the_parser() {
    for (section, entry) in entries() {
        let Kind::Words(words) = entry.kind else { continue };
        let errors = against(section, entry, "\"qqqqqqqqqqqq\"");
        let mut list: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        list.sort();
        let help = errors.iter().find_map(|error| error.split("use one of ").nth(1)).expect(entry.name);
        let mut known: Vec<&str> = help.split(", ").collect();
        known.sort_unstable();
        assert_eq!(known, list, "{} {}", section.title, entry.name);
    }
}

/// The bounds of whole numbers in a type.
fn bounds(kind: &Kind) -> Option<(u64, u64)> {
    match kind {
        Kind::Integer { low, high, .. } | Kind::Prime { low, high } => Some((*low, *high)),
        Kind::OneOf(kinds) => kinds.iter().find_map(bounds),
        _ => None,
    }
}

#[test]
fn bounds_of_numbers_are_those_of_the_parser() {
    for (section, entry) in entries() {
        let Some((low, high)) = bounds(&entry.kind) else { continue };
        let range = format!("must be an integer from {low} to {high}, not");
        let refused =
            |value: i128| against(section, entry, &value.to_string()).iter().any(|error| error.contains(&range));
        let (low, high) = (i128::from(low), i128::from(high));
        assert!(refused(low - 1) && refused(high + 1), "{} {}: {range}", section.title, entry.name);
        assert!(!refused(low) && !refused(high), "{} {}: {range}", section.title, entry.name);
    }
}

#[test]
fn bounds_of_durations_are_those_of_the_parser() {
    for (section, entry) in entries() {
        let Kind::Duration { low, high } = entry.kind else { continue };
        let refused = |value: &str| {
            let errors = against(section, entry, &format!("\"{value}\""));
            errors.iter().any(|error| error.contains("is not between"))
        };
        let (number, unit) = high.split_at(high.find(|c: char| !c.is_ascii_digit()).expect("a unit"));
        let above = format!("{number}.001{unit}");
        assert!(low == "0s" || refused("0.999us"), "{} {} below {low}", section.title, entry.name);
        assert!(refused(&above), "{} {} = {above}", section.title, entry.name);
        assert!(!refused(low) && !refused(high), "{} {}: {low} to {high}", section.title, entry.name);
    }
}

fn as_json(file: &str) -> serde_json::Value {
    serde_json::to_value(file.parse::<toml::Table>().expect("TOML")).expect("JSON")
}

#[test]
fn the_json_schema_takes_what_the_parser_takes() {
    assert!(jsonschema::draft4::meta::is_valid(&json_schema()));
    let validator = jsonschema::draft4::new(&json_schema()).expect("a schema");
    for (section, entry) in entries() {
        let file = file_with(section, entry.example, &[]).expect("TOML");
        let errors: Vec<String> = validator.iter_errors(&as_json(&file)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{} {}: {errors:?}", section.title, entry.example);
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for example in std::fs::read_dir(examples).unwrap() {
        let path = example.unwrap().path();
        let file = std::fs::read_to_string(&path).unwrap();
        assert!(validator.is_valid(&as_json(&file)), "{}", path.display());
    }
}

#[test]
fn the_json_schema_refuses_what_the_parser_refuses() {
    let validator = jsonschema::draft4::new(&json_schema()).expect("a schema");
    for (section, entry) in entries() {
        let mut bad = vec![format!("{} = 1979-05-27", entry.name), format!("{}_ = 1", entry.name)];
        if let Some((_, high)) = bounds(&entry.kind) {
            bad.push(format!("{} = {}", entry.name, high + 1));
        }
        if matches!(entry.kind, Kind::Words(_) | Kind::Duration { .. } | Kind::Boolean) {
            bad.push(format!("{} = \"qqq\"", entry.name));
        }
        for keys in bad {
            let file = file_with(section, &keys, &[]).expect("TOML");
            assert!(parse(&file, None).is_err(), "{}: {keys}", section.title);
            let mut json = as_json(&file);
            // TOML's date is a string that says so in JSON, and a text may be anything.
            if keys.ends_with("1979-05-27") {
                dates_as_numbers(&mut json);
            }
            assert!(!validator.is_valid(&json), "{}: {keys}", section.title);
        }
    }
}

/// A date is no type of JSON: a number that no key takes stands for it.
fn dates_as_numbers(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(table) if table.contains_key("$__toml_private_datetime") => {
            *value = serde_json::json!(-0.5);
        }
        serde_json::Value::Object(table) => table.values_mut().for_each(dates_as_numbers),
        serde_json::Value::Array(items) => items.iter_mut().for_each(dates_as_numbers),
        _ => {}
    }
}
