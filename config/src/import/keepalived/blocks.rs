//! The text of keepalived.conf as lines and blocks in blocks.

use crate::import::model::Found;

/// Deepest nesting that is read; keepalived needs four.
const DEEPEST: usize = 16;

/// A line, and what stands in braces behind it.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// From 1.
    pub(super) line: usize,
    words: Vec<String>,
    pub(super) inner: Vec<Block>,
}

impl Block {
    /// Its first word.
    pub(super) fn key(&self) -> &str {
        self.word(0)
    }

    /// One of its words; empty if there are fewer.
    pub(super) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// Its words as they were written.
    pub(super) fn title(&self) -> String {
        self.words.join(" ")
    }

    /// The first line of that key inside.
    pub(super) fn get(&self, key: &str) -> Option<&Block> {
        self.inner.iter().find(|block| block.key() == key)
    }
}

pub(super) fn read(text: &str, found: &mut Found) -> Vec<Block> {
    // The blocks that are open, the file itself first.
    let mut open = vec![Block::default()];
    for (line, text) in (1..).zip(text.lines()) {
        let mut words = Vec::new();
        for word in split(text) {
            match word.as_str() {
                "{" => {
                    add(line, &mut words, &mut open);
                    begin(line, &mut open, found);
                }
                "}" => {
                    add(line, &mut words, &mut open);
                    if !end(&mut open) {
                        found.note(line, "}", "it closes nothing", "check the braces of the source");
                    }
                }
                _ => words.push(word),
            }
        }
        add(line, &mut words, &mut open);
    }
    if let Some(last) = open.get(1) {
        found.note(last.line, last.title(), "its brace is never closed", "check the braces of the source");
    }
    while end(&mut open) {}
    open.pop().map(|file| file.inner).unwrap_or_default()
}

/// A finished line goes into the innermost open block.
fn add(line: usize, words: &mut Vec<String>, open: &mut [Block]) {
    if let (false, Some(block)) = (words.is_empty(), open.last_mut()) {
        block.inner.push(Block { line, words: std::mem::take(words), inner: Vec::new() });
    }
}

/// A brace opens the line before it, which may be some lines up.
fn begin(line: usize, open: &mut Vec<Block>, found: &mut Found) {
    let before = open.last_mut().and_then(|block| block.inner.pop());
    if open.len() > DEEPEST {
        found.note(line, "{", "it is nested too deep", "check the braces of the source");
    }
    open.push(before.unwrap_or(Block { line, ..Block::default() }));
}

/// Closes the innermost open block; no if only the file is open.
fn end(open: &mut Vec<Block>) -> bool {
    if open.len() < 2 {
        return false;
    }
    if let (Some(done), Some(outer)) = (open.pop(), open.last_mut()) {
        outer.inner.push(done);
    }
    true
}

/// Words, quoted or not, and braces by themselves, up to a comment.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => word.push(c),
            '#' | '!' => break,
            '{' | '}' => {
                words.push(std::mem::take(&mut word));
                words.push(c.to_string());
            }
            c if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}
