//! Whether a command printed what the page shows.

/// The first line of `shown` that `output` does not have, after the lines before it.
///
/// Numbers count as alike, and any number of spaces; `…` stands for anything, and alone on its line for any lines.
pub fn lacks(output: &str, shown: &str) -> Option<String> {
    let mut printed = output.lines().map(plain);
    let mut wanted = shown.lines().map(plain).filter(|line| !line.is_empty() && line != "…");
    wanted.find(|line| !printed.any(|candidate| alike(&candidate, line)))
}

/// A line with each number as `0`, single spaces, and none around it.
fn plain(line: &str) -> String {
    let mut text = String::new();
    for word in line.split_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        for letter in word.chars() {
            match letter {
                '0'..='9' if text.ends_with('0') => {}
                '0'..='9' => text.push('0'),
                _ => text.push(letter),
            }
        }
    }
    text
}

/// Whether a line begins, ends and goes on with the parts of a pattern between its `…`.
fn alike(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…').map(str::trim);
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn what_is_shown_must_be_printed() {
    let output = "first  10 ms\nsecond: up\nthird and more\n";
    assert_eq!(lacks(output, "first 7 ms\nthird …\n"), None);
    assert_eq!(lacks(output, "…\nsecond: …p\n"), None);
    assert_eq!(lacks(output, "third …\nfirst 10 ms\n"), Some("first 0 ms".to_owned()), "the order counts");
    assert_eq!(lacks(output, "first 10 s\n"), Some("first 0 s".to_owned()));
    assert_eq!(lacks(output, "second: down\n"), Some("second: down".to_owned()));
    assert_eq!(lacks(output, "third\n"), Some("third".to_owned()), "a whole line is meant");
}
