//! Words of the user in messages: quoting them, suggesting the one that was meant.

/// Longest word of the user that a message shows, in characters.
const SHOWN: usize = 60;

/// Longest word that is compared with known ones, in bytes.
const COMPARED: usize = 64;

/// `word` in double quotes, escaped, and cut if it is long.
pub(crate) fn quote(word: &str) -> String {
    let shown: String = word.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    let cut = if word.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("\"{shown}{cut}\"")
}

/// The known word that `word` is probably meant to be.
pub(crate) fn closest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > COMPARED {
        return None;
    }
    let allowed = (word.len() / 3).max(1);
    known
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= allowed)
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_close() {
        assert_eq!(closest("hash_kye", ["hash_key", "name"]), Some("hash_key"));
        assert_eq!(closest("mtuu", ["mtu", "name"]), Some("mtu"));
        assert_eq!(closest("colour", ["mtu", "name"]), None);
        assert_eq!(closest(&"x".repeat(1000), ["mtu"]), None);
    }

    #[test]
    fn quoting_keeps_one_short_line() {
        assert_eq!(quote("a\nb\""), r#""a\nb\"""#);
        assert_eq!(quote(&"ä".repeat(61)).chars().count(), 63);
    }
}
