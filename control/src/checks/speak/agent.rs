//! A line of an agent: how much traffic a backend wants. The words are those of HAProxy's agent-check.

use super::{Fault, Said, Way};
use crate::health::Reason;
use tokio::io::AsyncReadExt;

/// The longest line that is read.
const LONGEST: usize = 1_024;
/// The highest percentage.
const HIGHEST: u16 = 256;
/// Characters of a reason that are shown.
const LONGEST_REASON: usize = 120;

/// What a line says; `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Percentage of the configured weight.
    pub percent: Option<u16>,
    /// Whether it wants no new flows.
    pub drain: Option<bool>,
    /// Whether it calls itself down.
    pub down: Option<bool>,
}

/// Connects, and reads until the end of the line or of the connection.
pub(super) async fn ask(way: &Way<'_>) -> Result<Said, Fault> {
    let mut stream = way.connect().await?;
    let mut line = Vec::new();
    let mut buffer = [0; LONGEST];
    while line.len() < LONGEST && !line.contains(&b'\n') {
        match stream.read(&mut buffer).await? {
            0 => break,
            len => line.extend_from_slice(&buffer[..len]),
        }
    }
    match Line::parse(&line) {
        Some((advice, reason)) => Ok(Said { detail: Some(reason), advice: Some(advice) }),
        None => Err(Fault::with(Reason::Garbled, &"not a line of an agent")),
    }
}

impl Line {
    /// Reads a line of any bytes, and the line as people read it. `None`: no word of it is known.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Self, String)> {
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().next()?.trim();
        let words = line.split('#').next()?;
        let mut said = Self::default();
        let mut known = false;
        for word in words.split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
            known |= said.take(&word.to_ascii_lowercase());
        }
        let shown = line.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect();
        known.then_some((said, shown))
    }

    /// Takes over a word. Returns whether it is one.
    fn take(&mut self, word: &str) -> bool {
        match word {
            "up" => self.down = Some(false),
            "down" | "failed" | "stopped" | "fail" => self.down = Some(true),
            "drain" | "maint" => self.drain = Some(true),
            "ready" => self.drain = Some(false),
            _ => return self.take_number(word),
        }
        true
    }

    fn take_number(&mut self, word: &str) -> bool {
        if let Some(percent) = word.strip_suffix('%') {
            let percent = percent.parse::<u16>().ok().filter(|percent| *percent <= HIGHEST);
            self.percent = percent.or(self.percent);
            return percent.is_some();
        }
        // Connections are not counted here, but an agent that names a limit is one all the same.
        word.strip_prefix("maxconn:").is_some_and(|limit| limit.parse::<u32>().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(text: &str) -> Option<Line> {
        Line::parse(text.as_bytes()).map(|(line, _)| line)
    }

    #[test]
    fn words_of_haproxy() {
        let percent = |percent| Some(Line { percent: Some(percent), ..Line::default() });
        assert_eq!(said("75%\n"), percent(75));
        assert_eq!(said("0%"), percent(0));
        assert_eq!(said("256%\r\nmore"), percent(256));
        assert_eq!(said("257%"), None);
        assert_eq!(said("drain"), Some(Line { drain: Some(true), ..Line::default() }));
        assert_eq!(said("MAINT\n"), said("drain"));
        assert_eq!(said("ready"), Some(Line { drain: Some(false), ..Line::default() }));
        assert_eq!(said("up"), Some(Line { down: Some(false), ..Line::default() }));
        for word in ["down", "failed", "stopped"] {
            assert_eq!(said(word), Some(Line { down: Some(true), ..Line::default() }), "{word}");
        }
        let all = Line { percent: Some(50), drain: Some(false), down: Some(false) };
        assert_eq!(said("ready, up,50%\tmaxconn:30 # all is well 20%\n"), Some(all));
        assert_eq!(said("maxconn:30"), Some(Line::default()));
        for nothing in ["", "\n", "hello", "%", "-1%", "maxconn:x", "# 50%"] {
            assert_eq!(said(nothing), None, "{nothing:?}");
        }
        let (_, shown) = Line::parse(b"down # disk\x07 full\nnext").unwrap();
        assert_eq!(shown, "down # disk full");
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic_and_stay_in_bounds(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some((line, shown)) = Line::parse(&bytes) {
                prop_assert!(line.percent.is_none_or(|percent| percent <= HIGHEST));
                prop_assert!(shown.chars().count() <= LONGEST_REASON);
            }
        }
    }
}
