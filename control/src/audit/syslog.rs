//! Messages of the syslog protocol (RFC 5424).

use super::stamp::stamp;
use std::time::SystemTime;

/// Facility local0, severity informational (section 6.2.1).
const PRIORITY: u8 = 16 * 8 + 6;

/// Which log a message is of: its MSGID (section 6.2.7).
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Connection,
    Change,
    Gap,
}

/// A message without structured data, whose text is JSON. `host` is `-` where the daemon knows better.
pub(super) fn message(at: SystemTime, host: &str, kind: Kind, json: &str) -> String {
    let id = match kind {
        Kind::Connection => "connection",
        Kind::Change => "change",
        Kind::Gap => "gap",
    };
    format!("<{PRIORITY}>1 {} {host} guideway {} {id} - {json}", stamp(at), std::process::id())
}

/// This machine's name, as far as printable ASCII can say it (section 6.2.4).
pub(super) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn messages_have_the_form_of_the_protocol() {
        let at = UNIX_EPOCH + Duration::from_millis(1_769_860_800_250);
        let message = message(at, "edge1", Kind::Change, r#"{"what":"backend web/web1"}"#);
        let process = std::process::id();
        let expected = format!(
            "<134>1 2026-01-31T12:00:00.250000Z edge1 guideway {process} change - {{\"what\":\"backend web/web1\"}}"
        );
        assert_eq!(message, expected);
    }
}
