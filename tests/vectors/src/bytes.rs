//! The notation of bytes in vector files.
//!
//! | token | stands for |
//! | --- | --- |
//! | `4500`, `45` | bytes in hexadecimal, two digits each |
//! | `00*6` | the bytes before the star, that many times |
//! | `"GET /"` | the bytes of a text without spaces or quotes in it |
//! | `@syn` | all bytes of the frame `syn` |
//! | `@syn[14..34]` | some of them; either bound may be left out |
//! | `@in` | in `out`: the bytes of `in` |
//! | `# …` | a comment up to the end of the line |

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;

/// The name by which `out` refers to `in`.
const INPUT: &str = "in";

/// Frames that may be referred to by name.
#[derive(Clone, Debug, Default)]
pub struct Frames(BTreeMap<String, Vec<u8>>);

impl Frames {
    /// Reads `text` and gives its bytes a name, for references from later texts.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, or that the name is taken.
    pub fn define(&mut self, name: &str, text: &str) -> Result<()> {
        let bytes = self.read(text)?;
        ensure!(name != INPUT && self.0.insert(name.to_owned(), bytes).is_none(), "the name is taken");
        Ok(())
    }

    /// Makes these bytes what `@in` stands for.
    pub fn set_input(&mut self, frame: &[u8]) {
        self.0.insert(INPUT.to_owned(), frame.to_vec());
    }

    /// The bytes that `text` stands for.
    ///
    /// # Errors
    ///
    /// The token that could not be read.
    pub fn read(&self, text: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for token in text.lines().flat_map(|line| line.split('#').next().unwrap_or("").split_whitespace()) {
            bytes.extend(self.token(token).with_context(|| format!("cannot read {token:?}"))?);
        }
        Ok(bytes)
    }

    fn token(&self, token: &str) -> Result<Vec<u8>> {
        if let Some(reference) = token.strip_prefix('@') {
            return self.reference(reference);
        }
        if let Some(text) = token.strip_prefix('"') {
            return Ok(text.strip_suffix('"').context("the text does not end")?.as_bytes().to_vec());
        }
        match token.split_once('*') {
            Some((digits, count)) => Ok(hex(digits)?.repeat(count.parse().context("no count")?)),
            None => hex(token),
        }
    }

    fn reference(&self, reference: &str) -> Result<Vec<u8>> {
        let (name, range) = match reference.split_once('[') {
            Some((name, range)) => (name, range.strip_suffix(']').context("the range does not end")?),
            None => (reference, ".."),
        };
        let bytes = self.0.get(name).context("no frame of this name stands before it")?;
        let (from, to) = range.split_once("..").context("a range is written from..to")?;
        let from = if from.is_empty() { 0 } else { from.parse()? };
        let to = if to.is_empty() { bytes.len() } else { to.parse()? };
        Ok(bytes.get(from..to).with_context(|| format!("the frame has {} bytes", bytes.len()))?.to_vec())
    }
}

fn hex(digits: &str) -> Result<Vec<u8>> {
    ensure!(
        digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "no pairs of hex digits"
    );
    let pairs = digits.as_bytes().as_chunks::<2>().0;
    pairs.iter().map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_of_the_table() {
        let mut frames = Frames::default();
        frames.define("syn", "0102 03 # three bytes\n 04").unwrap();
        frames.set_input(&[9, 8, 7]);
        let read = |text: &str| frames.read(text).unwrap();
        assert_eq!(read("@syn"), [1, 2, 3, 4]);
        assert_eq!(read("@syn[1..3] ff @syn[3..] @syn[..1]"), [2, 3, 0xff, 4, 1]);
        assert_eq!(read("00*3 a5a4*2"), [0, 0, 0, 0xa5, 0xa4, 0xa5, 0xa4]);
        assert_eq!(read("\"GET\""), *b"GET");
        assert_eq!(read("@in[1..]"), [8, 7]);
    }

    #[test]
    fn mistakes_are_errors() {
        let mut frames = Frames::default();
        frames.define("syn", "0102").unwrap();
        for text in ["1", "0g", "+1", "@ack", "@syn[1..3]", "@syn[1..", "@syn[1]", "@syn[2..1]", "00*", "\"GET"] {
            assert!(frames.read(text).is_err(), "{text}");
        }
        assert!(frames.define("syn", "00").is_err());
        assert!(frames.define("in", "00").is_err());
    }
}
