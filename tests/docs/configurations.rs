//! Every block of TOML holds keys and values that exist.

use crate::page::{self, Kind};
use anyhow::Result;
use guideway_config::parse;

/// Whether an error only says that a part of a configuration is not the whole of it.
fn lacks_the_rest(message: &str) -> bool {
    let begins = ["there is no port", "there is no pool", "there is no way to the backend"];
    let says = ["lacks the key", "is a list of tables", "has no backends", "in no interface's subnet"];
    begins.iter().any(|part| message.starts_with(part)) || says.iter().any(|part| message.contains(part))
}

#[test]
fn every_block_holds_known_keys_and_values() -> Result<()> {
    let mut wrong = Vec::new();
    let mut blocks = 0;
    for page in page::all()? {
        for block in &page.blocks {
            let Kind::Toml { file } = &block.kind else { continue };
            blocks += 1;
            for error in parse(&block.text, None).err().into_iter().flatten() {
                if file.is_some() || !lacks_the_rest(&error.message) {
                    wrong.push(format!("{}:{}: {error}", page.name, block.line));
                }
            }
        }
    }
    assert!(blocks > 15, "only {blocks} blocks");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
