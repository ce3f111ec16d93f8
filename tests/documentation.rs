//! What the documentation says and the code says must be the same.

use guideway_dataplane::drop_reason::DropReason;

#[test]
fn every_drop_reason_is_documented() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let documented: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<_> =
        DropReason::ALL.iter().map(|reason| format!("| `{}` | {} |", reason.label(), reason.help())).collect();
    assert_eq!(documented, expected, "the table of docs/operations.md");
}
