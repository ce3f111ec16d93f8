//! `guideway import` as an operator types it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tests/import").join(name)
}

/// Runs the program with `input` on its standard input.
fn guideway(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guideway"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that refuses its options does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_dump_becomes_a_file_that_check_takes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("guideway.toml");
    let (base, out) = (example("base.toml"), out.to_str().unwrap());
    let dump = std::fs::read(example("ipvsadm.txt")).unwrap();
    let arguments = ["import", "--from", "ipvsadm", "-", "--base", base.to_str().unwrap(), "--out", out];
    let imported = guideway(&arguments, &dump);
    let told = text(&imported.stderr);
    assert_eq!(imported.status.code(), Some(0), "{told}");
    assert!(told.contains("standard input: line 12: fwmark service 7: "), "{told}");
    assert!(told.contains("4 VIPs, 5 pools, 8 backends"), "{told}");
    assert!(imported.stdout.is_empty());
    let checked = guideway(&["check", "--any-machine", "--config", out], b"");
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));

    let written = std::fs::read(out).unwrap();
    let again = guideway(&arguments, b"-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.1:80\n");
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("exists; --force writes over it"), "{}", text(&again.stderr));
    assert_eq!(std::fs::read(out).unwrap(), written, "what is there stays");
    let forced = guideway(&[&arguments[..], &["--force"]].concat(), &dump);
    assert_eq!((forced.status.code(), std::fs::read(out).unwrap()), (Some(0), written));
}

#[test]
fn json_has_result_notes_and_what_is_left() {
    let file = example("haproxy.cfg");
    let output = guideway(&["import", file.to_str().unwrap(), "--json", "--vip", "203.0.113.50"], b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["from"], &json["pools"], &json["vips"]), (&"haproxy".into(), &3.into(), &5.into()));
    let notes = json["notes"].as_array().unwrap();
    let of_line = |line: u64| notes.iter().find(|note| note["line"] == line).unwrap();
    assert!(of_line(31)["what"].as_str().unwrap().contains("mx2.example.com"));
    assert!(notes.iter().all(|note| ["what", "why", "instead"].iter().all(|key| note[key].is_string())));
    assert!(json["refused"].as_array().unwrap().iter().all(|error| error["line"].is_number()));
    assert!(json["toml"].as_str().unwrap().contains("[[pool]]\nname = \"pg-nodes\"\n"));
}

#[test]
fn what_cannot_be_imported_is_bad_usage() {
    let bad: [(&[&str], &[u8], &str); 5] = [
        (&["import"], b"hello\n", "cannot tell what it is from"),
        (&["import", "--from", "keepalived"], b"vrrp_instance A {\n}\n", "no service in it"),
        (&["import", "/no/such/file"], b"", "cannot read /no/such/file"),
        (&["import", "--force"], b"", "--out"),
        (&["import", "--from", "pf"], b"", "possible values"),
    ];
    for (arguments, input, message) in bad {
        let output = guideway(arguments, input);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(message), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}
