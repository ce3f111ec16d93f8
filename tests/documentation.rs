//! What the documentation says and the code says must be the same.

use guideway_dataplane::drop_reason::DropReason;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Set, it makes the tests write the generated documents instead of comparing them.
const WRITE: &str = "GUIDEWAY_WRITE_DOCS";

/// `docs/drops.md`, from the list that the metrics come from.
fn drops() -> String {
    let mut text = "# Reasons of drops\n\n\
        Every packet that goes no further is counted under one of these names: in `guideway status`, by worker and in\n\
        sum, and in `guideway replay`, by packet. Each leads to its causes and what helps. The list is generated from the\n\
        code that counts, by `GUIDEWAY_WRITE_DOCS=1 cargo test --test documentation`.\n\n\
        | reason | meaning |\n| --- | --- |\n"
        .to_owned();
    for reason in DropReason::ALL {
        let label = reason.label();
        let _ = writeln!(text, "| [`{label}`](incidents.md#{label}) | {} |", reason.help());
    }
    text
}

fn documented(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

#[test]
fn every_drop_reason_is_documented() {
    let path = documented("drops.md");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, drops()).unwrap();
    }
    let documented = std::fs::read_to_string(&path).unwrap();
    assert_eq!(documented, drops(), "docs/drops.md is not what {WRITE}=1 would write");
}

#[test]
fn the_incident_guide_knows_every_drop_reason() {
    let guide = std::fs::read_to_string(documented("incidents.md")).unwrap();
    let mut entries: Vec<&str> = guide.split("\n### ").skip(1).collect();
    for entry in &mut entries {
        let heading = entry.lines().next().unwrap_or_default();
        let name = heading.trim_matches('`');
        let reason = DropReason::ALL.iter().find(|reason| reason.label() == name);
        assert!(reason.is_some(), "{name} is no reason of a drop");
        for part in ["\n- Cause: ", "\n- See: ", "\n- Cure: "] {
            assert_eq!(entry.matches(part).count(), 1, "{name}: {part:?}");
        }
        // What a command of an entry asks for is what the entry is about.
        let asked = entry.split("--drop ").skip(1).map(|rest| rest.split(' ').next().unwrap_or_default());
        asked.for_each(|asked| assert_eq!(asked, name));
        *entry = name;
    }
    entries.sort_unstable();
    let mut labels: Vec<&str> = DropReason::ALL.iter().map(|reason| reason.label()).collect();
    labels.sort_unstable();
    assert_eq!(entries, labels, "each reason has one entry");
}

#[test]
fn the_incident_guide_leads_to_every_alert() {
    let guide = std::fs::read_to_string(documented("incidents.md")).unwrap();
    let alerts = std::fs::read_to_string(documented("monitoring/alerts.yml")).unwrap();
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let row = |name: &&str| format!("| [{name}](monitoring/README.md#{}) | ", name.to_lowercase());
    let listed: Vec<&str> = guide.lines().filter(|line| line.starts_with("| [Guideway")).collect();
    assert_eq!(listed.len(), names.len(), "one row an alert");
    for name in names {
        assert!(listed.iter().any(|line| line.starts_with(&row(&name))), "{name} is not in docs/incidents.md");
    }
}
