//! What the documentation says and the code says must be the same.

use guideway_dataplane::drop_reason::DropReason;
use std::fmt::Write as _;
use std::path::Path;

/// Set, it makes the tests write the generated documents instead of comparing them.
const WRITE: &str = "GUIDEWAY_WRITE_DOCS";

/// `docs/drops.md`, from the list that the metrics come from.
fn drops() -> String {
    let mut text = "# Reasons of drops\n\n\
        Every packet that goes no further is counted under one of these names: in `guideway status`, by worker and in\n\
        sum, and in `guideway replay`, by packet. The list is generated from the code that counts, by\n\
        `GUIDEWAY_WRITE_DOCS=1 cargo test --test documentation`.\n\n\
        | reason | meaning |\n| --- | --- |\n"
        .to_owned();
    for reason in DropReason::ALL {
        let _ = writeln!(text, "| `{}` | {} |", reason.label(), reason.help());
    }
    text
}

#[test]
fn every_drop_reason_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/drops.md");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, drops()).unwrap();
    }
    let documented = std::fs::read_to_string(&path).unwrap();
    assert_eq!(documented, drops(), "docs/drops.md is not what {WRITE}=1 would write");
}
