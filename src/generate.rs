//! `guideway generate`: manual pages and shell completions, from the very definition of the command line, and the JSON Schema
//! of the configuration.

use crate::Failure;
use anyhow::Context;
use clap_complete::Shell;
use std::path::{Path, PathBuf};

/// Shells that packages have a folder for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// What editors read of a configuration's keys.
const SCHEMA: &str = "guideway.schema.json";

/// Options of `generate`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where they go; made if it is not there.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(crate) fn generate(command: clap::Command, args: &Args) -> Result<(), Failure> {
    let folder = args.folder.as_path();
    let cannot = || format!("cannot write to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut command.clone(), "guideway", folder).with_context(cannot)?;
    }
    manuals(command, folder).with_context(cannot)?;
    let schema = format!("{:#}\n", guideway_config::reference::json_schema());
    std::fs::write(folder.join(SCHEMA), schema).with_context(cannot)?;
    Ok(())
}

/// A page for each command that is shown, called `guideway-COMMAND`.
fn manuals(command: clap::Command, folder: &Path) -> std::io::Result<()> {
    let mut command = without_help(command);
    command.build();
    clap_mangen::generate_to(command, folder)
}

/// The help of the help needs no page.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let args = Args { folder: folder.path().join("new") };
        assert!(generate(crate::Cli::command(), &args).is_ok());
        let text = |name: &str| std::fs::read_to_string(args.folder.join(name)).unwrap_or_else(|_| panic!("{name}"));
        assert!(text("guideway.1").contains("guideway\\-doctor(1)"));
        assert!(text("guideway-backend-drain.1").contains("drain"));
        for completion in ["guideway.bash", "_guideway", "guideway.fish"] {
            assert!(text(completion).contains("keepalived"), "{completion} completes values");
        }
        let schema: serde_json::Value = serde_json::from_str(&text(SCHEMA)).unwrap();
        assert_eq!(schema["definitions"]["vip"]["properties"]["protocol"]["enum"][2], "quic");
        let names = std::fs::read_dir(&args.folder).unwrap().map(|entry| entry.unwrap().file_name());
        let unwanted: Vec<_> = names.filter(|name| name.to_string_lossy().contains("help")).collect();
        assert!(unwanted.is_empty(), "{unwanted:?}");
        assert!(!args.folder.join("guideway-generate.1").exists(), "hidden");
    }
}
