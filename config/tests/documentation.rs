//! `docs/configuration.md` says what holds.

use guideway_config::model::{Forward, Gue};
use guideway_config::overhead::overhead;
use guideway_config::parse;
use guideway_config::schema::SECTIONS;
use guideway_config::table_size::{TABLE_SIZES, default_for};

const DOCUMENT: &str = include_str!("../../docs/configuration.md");

#[test]
fn every_section_has_a_chapter_that_leads_to_its_keys() {
    for section in SECTIONS {
        let heading = |chapter: &&str| {
            let first = chapter.lines().next().unwrap_or_default().replace('`', "");
            first.eq_ignore_ascii_case(section.title)
        };
        let chapter =
            DOCUMENT.split("\n## ").find(heading).unwrap_or_else(|| panic!("no heading for {}", section.title));
        let link = "[reference](configuration-reference.md#";
        assert!(chapter.lines().any(|line| line.contains(link)), "{} leads to no reference", section.title);
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
