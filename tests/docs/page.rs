//! A page of the documentation: its fenced blocks, headings and links, with the lines they begin at.

use anyhow::{Context, Result, bail, ensure};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What a block's info string says is to be done with it.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// `sh`: runs as written.
    Run,
    /// `sh background`: runs as written and goes on while the next blocks run.
    Background,
    /// `LANGUAGE no-run=REASON`: cannot run in a test.
    NoRun { language: String, reason: String },
    /// `toml`, `toml file=PATH`: a part of a configuration, which the reader puts into a file.
    Toml { file: Option<String> },
    /// `text output`: what the block before printed, as [`crate::printed`] compares it.
    Output,
    /// `text`: for the reader only.
    Text,
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// The line of the opening fence, from 1.
    pub line: usize,
    /// What is to be done with it.
    pub kind: Kind,
    /// What stands between the fences.
    pub text: String,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Its path below the repository.
    pub name: String,
    /// Its blocks in their order.
    pub blocks: Vec<Block>,
    /// The anchors of its headings, as GitHub makes them.
    pub anchors: Vec<String>,
    /// Where its links and images lead, with their lines.
    pub links: Vec<(usize, String)>,
    /// The number of its lines.
    pub lines: usize,
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `README.md` and all pages of `docs/`, also of its folders.
pub fn all() -> Result<Vec<Page>> {
    let mut names = vec![PathBuf::from("README.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        let listing = root().join(&folder).read_dir().with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in listing {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            match entry.file_type()?.is_dir() {
                true => folders.push(name),
                false if name.extension().is_some_and(|extension| extension == "md") => names.push(name),
                false => {}
            }
        }
    }
    names.sort();
    names.iter().map(|name| Page::read(&name.to_string_lossy())).collect()
}

impl Page {
    /// Reads a page by its path below the repository.
    pub fn read(name: &str) -> Result<Self> {
        let text = std::fs::read_to_string(root().join(name)).with_context(|| format!("cannot read {name}"))?;
        Self::parse(name, &text)
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let mut page = Self {
            name: name.to_owned(),
            blocks: Vec::new(),
            anchors: Vec::new(),
            links: Vec::new(),
            lines: text.lines().count(),
        };
        let mut seen = HashMap::new();
        let mut heading: Option<String> = None;
        let mut block: Option<Block> = None;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = text[..range.start].matches('\n').count() + 1;
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => {
                    bail!("{name}:{line}: a block by indentation: fence it and say what it is");
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    let kind = Kind::parse(&info).with_context(|| format!("{name}:{line}"))?;
                    block = Some(Block { line, kind, text: String::new() });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.anchors.push(anchor(&heading.take().unwrap_or_default(), &mut seen));
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((line, dest_url.into_string()));
                }
                Event::Text(part) | Event::Code(part) => {
                    if let Some(text) = block.as_mut().map(|block| &mut block.text).or(heading.as_mut()) {
                        text.push_str(&part);
                    }
                }
                _ => {}
            }
        }
        Ok(page)
    }

    /// Whether a test runs some of its blocks.
    pub fn runs(&self) -> bool {
        self.blocks.iter().any(|block| matches!(block.kind, Kind::Run | Kind::Background))
    }
}

impl Kind {
    fn parse(info: &str) -> Result<Self> {
        let (language, rest) = info.split_once(' ').map_or((info, ""), |(language, rest)| (language, rest.trim()));
        ensure!(!language.is_empty(), "a block without a language: write `sh`, `toml`, `text`, …");
        if let Some(reason) = rest.strip_prefix("no-run=") {
            ensure!(!reason.is_empty(), "`no-run=` lacks the reason");
            return Ok(Self::NoRun { language: language.to_owned(), reason: reason.to_owned() });
        }
        Ok(match (language, rest) {
            ("sh", "") => Self::Run,
            ("sh", "background") => Self::Background,
            ("toml", "") => Self::Toml { file: None },
            ("text", "output") => Self::Output,
            ("text", "") => Self::Text,
            ("toml", rest) if rest.starts_with("file=/") => Self::Toml { file: Some(rest["file=".len()..].to_owned()) },
            _ => bail!("no test knows what to do with a block of `{info}`: see tests/docs/main.rs"),
        })
    }
}

/// A heading's anchor: small letters, spaces as hyphens, no punctuation, a number where it is taken.
fn anchor(heading: &str, seen: &mut HashMap<String, usize>) -> String {
    let keep = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then_some(letter),
    };
    let slug: String = heading.to_lowercase().chars().filter_map(keep).collect();
    let count = seen.entry(slug.clone()).and_modify(|count| *count += 1).or_insert(0);
    if *count == 0 { slug } else { format!("{slug}-{count}") }
}

#[test]
fn info_strings_are_read() {
    assert_eq!(Kind::parse("sh").unwrap(), Kind::Run);
    assert_eq!(Kind::parse("sh background").unwrap(), Kind::Background);
    let no_run = Kind::NoRun { language: "sh".to_owned(), reason: "needs a network card".to_owned() };
    assert_eq!(Kind::parse("sh no-run=needs a network card").unwrap(), no_run);
    assert_eq!(Kind::parse("toml file=/etc/a.toml").unwrap(), Kind::Toml { file: Some("/etc/a.toml".to_owned()) });
    for bad in ["", "sh no-run=", "bash", "json", "sh backgroud", "toml file=relative", "text outputs"] {
        assert!(Kind::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_page_is_taken_apart() {
    let text = "# A `b` (c), d_e\n\n[x](y.md#z) ![](i.png)\n\n```sh\nls\n```\n\n## Same\n## Same\n";
    let page = Page::parse("p.md", text).unwrap();
    assert_eq!(page.anchors, ["a-b-c-d_e", "same", "same-1"]);
    assert_eq!(page.links, [(3, "y.md#z".to_owned()), (3, "i.png".to_owned())]);
    assert_eq!((page.blocks[0].line, page.blocks[0].text.as_str()), (5, "ls\n"));
    assert!(Page::parse("p.md", "text\n\n    indented\n").is_err());
    assert!(Page::parse("p.md", "```\nunclassified\n```\n").is_err());
}
