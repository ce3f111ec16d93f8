//! Whether a command printed what the page shows.

/// The first line of `shown` that `output` does not have where it should be, or what comes after the last.
///
/// Lines follow each other as shown; `…` alone on a line stands for any lines, and within one for any text. Numbers count
/// as alike, unless a letter is before them (`web1`), and so does any number of spaces. Empty lines do not count.
pub fn lacks(output: &str, shown: &str) -> Option<String> {
    let printed: Vec<String> = output.lines().map(plain).filter(|line| !line.is_empty()).collect();
    let (mut at, mut later) = (0, false);
    for line in shown.lines().map(plain).filter(|line| !line.is_empty()) {
        if line == "…" {
            later = true;
            continue;
        }
        let reach = if later { printed.len() } else { printed.len().min(at + 1) };
        let Some(skipped) = printed[at..reach].iter().position(|candidate| alike(candidate, &line)) else {
            return Some(line);
        };
        (at, later) = (at + skipped + 1, false);
    }
    match printed.get(at) {
        Some(rest) if !later => Some(format!("the end, before {rest}")),
        _ => None,
    }
}

/// A line with each number as `0`, single spaces, and none around it.
fn plain(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let mut text = String::new();
        let mut rest = word;
        while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
            let length = rest[start..].find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len() - start);
            let is_name = rest[..start].ends_with(char::is_alphabetic);
            text.push_str(&rest[..start]);
            text.push_str(if is_name { &rest[start..start + length] } else { "0" });
            rest = &rest[start + length..];
        }
        text + rest
    });
    words.collect::<Vec<_>>().join(" ")
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
    let output = "first  10 ms\n\nsecond: up\nthird and more\n";
    let ends = |line: &str| Some(format!("the end, before {line}"));
    assert_eq!(lacks(output, "first 7 ms\nsecond: up\nthird …\n"), None);
    assert_eq!(lacks(output, "…\nsecond: …p\n…\n"), None);
    assert_eq!(lacks(output, "first 7 ms\n"), ends("second: up"), "all is meant");
    assert_eq!(lacks(output, "second: up\n…\n"), Some("second: up".to_owned()), "from the beginning");
    assert_eq!(lacks(output, "first 7 ms\nthird …\n"), Some("third …".to_owned()), "without gaps");
    assert_eq!(lacks(output, "…\nthird …\n…\nfirst 10 ms\n"), Some("first 0 ms".to_owned()), "the order counts");
    assert_eq!(lacks(output, "first 10 s\n…\n"), Some("first 0 s".to_owned()));
    assert_eq!(lacks(output, "…\nthird\n"), Some("third".to_owned()), "a whole line is meant");
    assert_eq!(lacks("20 web1", "3 web2"), Some("0 web2".to_owned()), "a name's number is part of it");
    assert_eq!(lacks("10.0.0.11 web12", "10.0.0.1 web12"), None);
}
