//! `docs/configuration.md` and the schema name the same keys.

use guideway_config::model::{Forward, Gue};
use guideway_config::overhead::overhead;
use guideway_config::parse;
use guideway_config::schema::{SECTIONS, Section};
use guideway_config::table_size::{TABLE_SIZES, default_for};

const DOCUMENT: &str = include_str!("../../docs/configuration.md");

/// The text between a section's heading and the next one.
fn chapter(section: &Section) -> &'static str {
    let mut chapters = DOCUMENT.split("\n## ");
    let heading = |chapter: &&str| {
        let first = chapter.lines().next().unwrap_or_default().replace('`', "");
        first.eq_ignore_ascii_case(section.title)
    };
    chapters.find(heading).unwrap_or_else(|| panic!("no heading for {}", section.title))
}

/// The rows of a chapter's first table that describe a key: the key and the row.
fn rows(chapter: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    chapter.lines().filter_map(|line| Some((line.strip_prefix("| `")?.split_once('`')?.0, line)))
}

#[test]
fn every_key_has_a_row_that_says_whether_it_is_built() {
    for section in SECTIONS {
        for key in section.keys {
            let (_, row) = rows(chapter(section))
                .find(|(name, _)| *name == key.name)
                .unwrap_or_else(|| panic!("{} lacks a row for `{}`", section.title, key.name));
            let refused = row.starts_with(&format!("| `{}` | | | **not built** |", key.name));
            assert_eq!(refused, key.refused.is_some(), "{row}");
        }
    }
}

#[test]
fn every_row_is_a_key() {
    for section in SECTIONS {
        for (name, _) in rows(chapter(section)) {
            assert!(section.key(name).is_some(), "{} has no key `{name}`", section.title);
        }
    }
}

#[test]
fn refused_keys_are_listed_together() {
    let list = DOCUMENT.split("\n## Not built yet\n").nth(1).expect("the list");
    for section in SECTIONS {
        for key in section.keys.iter().filter(|key| key.refused.is_some()) {
            let title = format!("| `{}` |", section.title);
            let row = list.lines().find(|line| line.starts_with(&title)).expect(section.title);
            assert!(row.contains(&format!("`{}`", key.name)), "{row} lacks {}", key.name);
        }
    }
}

#[test]
fn table_sizes_are_those_of_the_contract() {
    for size in TABLE_SIZES {
        let prefix = format!("| {size} | ");
        let row = DOCUMENT.lines().find_map(|line| line.strip_prefix(&prefix)).expect("a row");
        let most: usize = row.split([' ', ',']).next().and_then(|number| number.parse().ok()).expect("a count");
        assert_eq!(default_for(most), size);
        assert!(default_for(most + 1) > size || size == 65537);
    }
}

#[test]
fn the_smallest_file_of_the_document_is_good() {
    let block = DOCUMENT.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let parsed = parse(block, None).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(parsed.warnings, []);
}

#[test]
fn outer_headers_are_as_long_as_the_document_says() {
    let (plain, direct) = (Gue::default(), Gue { variant: 1, ..Gue::default() });
    let modes = [
        ("IP in IP: `ipip`", Forward::Ipip, plain),
        ("GRE: `gre`", Forward::Gre, plain),
        ("GUE: `gue`, `gue_variant = 0`", Forward::Gue, plain),
        ("GUE: `gue`, `gue_variant = 1`", Forward::Gue, direct),
    ];
    for (mode, forward, gue) in modes {
        let bytes = |backend: &str| overhead(forward, gue, backend.parse().expect("address"));
        let row = format!("| {mode} | {} bytes | {} bytes |", bytes("10.0.0.1"), bytes("fd00::1"));
        assert!(DOCUMENT.lines().any(|line| line == row), "{row}");
    }
}
