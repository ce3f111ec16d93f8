//! All mistakes of a file are reported together, and files that are no configuration in one line.

use crate::base::{BASE, edited};
use guideway_config::{Severity, load, parse};
use std::path::Path;

#[test]
fn five_mistakes_give_five_errors() {
    let source = edited(&[
        ("control = 0", "control = 1"),
        ("name = \"edge\"", "name = \"edge\"\nmtuu = 9000"),
        ("10.0.0.254\", \"fd00::fe", "10.0.9.254\", \"fd00::fe"),
        ("weight = 100", "weight = \"high\""),
        ("pool = \"web\"", "pool = \"webb\""),
    ]);
    let errors = parse(&source, None).expect_err("five mistakes");
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "5:11: error: `control`: core 1 is a worker's core, and workers poll without pause (given to a worker at \
             line 6); help: give control a core of its own, or set idle = \"adaptive\"",
            "10:1: error: unknown key \"mtuu\" in [[port]]; help: did you mean `mtu`?",
            "22:8: error: the next hop 10.0.9.254 is in no interface's subnet; help: give an [[interface]] an address \
             of the next hop's subnet",
            "31:10: error: `weight` must be an integer from 0 to 65535, not a string",
            "40:8: error: there is no pool \"webb\"; help: did you mean \"web\"?",
        ]
    );
    let related = errors[0].related.as_ref().expect("the worker");
    assert_eq!((related.position.line, related.position.column), (6, 12));
    assert!(errors.iter().all(|error| error.severity == Severity::Error));
}

#[test]
fn a_key_given_twice_does_not_hide_other_mistakes() {
    let source = edited(&[("control = 0", "control = 0\ncontrol = 3"), ("pool = \"web\"", "pool = \"webb\"")]);
    let errors = parse(&source, None).expect_err("two mistakes");
    assert_eq!(errors.len(), 2, "{errors:#?}");
}

/// An error in a list is not followed by errors about what the list then lacks.
#[test]
fn errors_that_only_follow_from_others_are_not_reported() {
    for (edit, position) in [
        (("[[port]]", "[port]"), "8:1"),
        (("[[pool]]\n", "[pool]\n"), "23:1"),
        (("10.0.0.1/24", "10.0.0.1"), "14:14"),
        (("\"10.0.0.254\", \"fd00::fe\"", "\"10.0.0\""), "21:8"),
        (("name = \"web\"", "name = \"\""), "24:8"),
        (("name = \"edge\"", "name = \"\""), "9:8"),
    ] {
        let errors = parse(&edited(&[edit]), None).expect_err("one mistake");
        assert_eq!(errors.len(), 1, "{edit:?}: {errors:#?}");
        assert!(errors[0].to_string().starts_with(position), "{:?}", errors[0].to_string());
    }
}

/// Depth is bounded by the parser, not by the stack.
#[test]
fn deep_nesting_is_an_error() {
    for (open, middle, close) in [("x = ", "[", "]"), ("x = ", "{ a = ", "}"), ("", "a.", "b = 1"), ("[", "a.", "b]")] {
        let source = format!("{open}{}{close}\n", middle.repeat(20_000));
        assert!(parse(&source, None).is_err());
    }
}

/// The one line that `load` gives for a file with these bytes, less its path.
fn refused(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), bytes).expect("write");
    let failure = load(file.path(), None).expect_err("no configuration");
    let shown = failure.to_string();
    assert_eq!(shown.lines().count(), 1, "{shown}");
    let path = file.path().display().to_string();
    shown.strip_prefix(&path).unwrap_or_else(|| panic!("{shown} lacks {path}")).to_owned()
}

#[test]
fn files_that_are_no_configuration_give_one_line() {
    assert!(refused(b"").starts_with(":1:1: error: the file is empty"));
    assert!(refused(b" \n\t\n").starts_with(":1:1: error: the file is empty"));
    assert!(refused(b"[fleet]\nx = \"\xff\"\n").starts_with(":2:6: error: the byte 0xff is not UTF-8: save it"));
    assert!(
        refused(b"\x7fELF\x02\x01\x01\0\0\xfe").starts_with(":1:10: error: the byte 0xfe is not UTF-8: it is a binary")
    );
    assert!(refused(b"PK\x03\x04\0\0").starts_with(":1:5: error: the file contains a NUL byte"));
}

#[test]
fn unreadable_files_give_one_line() {
    let missing = load(Path::new("/nonexistent/guideway.toml"), None).expect_err("missing").to_string();
    assert!(missing.starts_with("/nonexistent/guideway.toml: error: cannot read the file: No such file"), "{missing}");
    let directory = tempfile::tempdir().expect("directory");
    let shown = load(directory.path(), None).expect_err("a directory").to_string();
    assert!(shown.contains(": error: cannot read the file: ") && shown.lines().count() == 1, "{shown}");
    let endless = load(Path::new("/dev/zero"), None).expect_err("endless").to_string();
    assert!(endless.contains("larger than 64 MiB"), "{endless}");
}

#[test]
fn load_reads_what_parse_parses() {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), BASE).expect("write");
    assert_eq!(load(file.path(), None).ok(), parse(BASE, None).ok());
    std::fs::write(file.path(), edited(&[("[cores]", "[cores]\nx = 1\ny = 2")])).expect("write");
    let shown = load(file.path(), None).expect_err("two unknown keys").to_string();
    let path = file.path().display();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with(&format!("{path}:5:1: error: unknown key \"x\" in [cores]")), "{shown}");
    assert!(lines[1].starts_with(&format!("{path}:6:1: error: unknown key \"y\" in [cores]")), "{shown}");
}
