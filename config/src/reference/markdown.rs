//! `docs/configuration-reference.md`.

use super::kind::anchor;
use super::{CHAPTERS, Entry};
use crate::schema::{FILE, Section};
use std::fmt::Write as _;

const HEAD: &str = "# Configuration reference

Every key of the configuration file. [configuration.md](configuration.md) is the guide: how keys work together, with whole
examples, and [how values are written](configuration.md#values) (duration, size, share, address, prefix, name). This page is
generated from the schema, by `GUIDEWAY_WRITE_DOCS=1 cargo test -p guideway-config --test reference`; each example, bound and
default in it is tried on the parser. Keys that the design has and this version refuses by name are listed
[there](configuration.md#not-built-yet).

For each key:

- *type*: what it takes, with the unit of a number;
- *default*: what holds without it; `none`: what the key is for is off;
- *example*: the key, and after it the keys of the same table that it needs;
- *reload*: whether `guideway reload` applies a change of it ([operations](operations.md#reload)).

An editor that knows JSON Schema (draft 4) completes and checks keys: Taplo, for example in Even Better TOML of VS Code, reads
`#:schema /usr/share/guideway/guideway.schema.json` in the first line of the file. The package brings that file along;
`guideway generate FOLDER` writes it, too. What several keys say together only `guideway check` knows.
";

/// The page, generated.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for (section, entries) in CHAPTERS {
        if section.title == FILE.title {
            tables_of_the_file(&mut page, entries);
        } else {
            chapter(&mut page, section, entries);
        }
    }
    page
}

fn tables_of_the_file(page: &mut String, entries: &[Entry]) {
    page.push_str("\n## The file\n\n| key | type | default | meaning | reload |\n| --- | --- | --- | --- | --- |\n");
    for entry in entries {
        let (kind, default, reload) = (entry.kind.words(), entry.default.words(), entry.reload.words());
        let _ = writeln!(page, "| `{}` | {kind} | {default} | {} | {reload} |", entry.name, entry.meaning);
    }
    page.push_str("\nWhat is said here of a reload concerns the table as a whole; its keys say more.\n");
}

fn chapter(page: &mut String, section: &Section, entries: &[Entry]) {
    let title = section.title;
    let _ = writeln!(page, "\n## `{title}`\n\nGuide: [configuration.md](configuration.md#{}).", anchor(title));
    for entry in entries {
        let path = title.trim_matches(['[', ']']);
        let _ = writeln!(page, "\n### `{path}.{}`\n\n{}\n", entry.name, entry.meaning);
        let _ = writeln!(page, "- Type: {}", entry.kind.words());
        let _ = writeln!(page, "- Default: {}", entry.default.words());
        let _ = writeln!(page, "- Example: `{}`", entry.example);
        let _ = writeln!(page, "- Reload: {}", entry.reload.words());
    }
}
