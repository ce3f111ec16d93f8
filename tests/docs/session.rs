//! A page as one shell session: its blocks in their order, in a machine of their own.
//!
//! The script has every command on the line that it has in the page, so the shell's own messages name the right line.
//! It runs in namespaces of its own for processes, mounts and, unless the lab has one for it, the network: `/etc` is a
//! copy, `/run` is empty, and whatever a page starts or makes is gone when the shell ends.

use crate::page::{Block, Kind, Page, root};
use crate::printed;
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// After how many seconds a session hangs.
const LIMIT: &str = "600";

/// What comes before the blocks, on the script's first line.
const BEFORE: &str = concat!(
    "set -eE; trap 'echo \"$PAGE:$LINENO: this failed: $BASH_COMMAND\" >>\"$FOLDER/failed\"' ERR; ",
    "mount -t tmpfs tmpfs /run; mkdir /run/etc; cp -a /etc/. /run/etc; mount --bind /run/etc /etc; ",
    // A daemon in the background serves when its socket answers.
    "ready() { for _ in $(seq 600); do guideway status >/dev/null 2>&1 && return; kill -0 $! || return 1; sleep 0.1; ",
    "done; return 1; }; cd \"$FOLDER/work\"; ",
);

/// The folder of a session.
pub struct Session {
    folder: TempDir,
}

impl Session {
    /// A session that has `guideway` on its path, and in its working folder what a checkout has.
    pub fn new(binary: &Path) -> Result<Self> {
        let session = Self { folder: tempfile::tempdir()? };
        for folder in ["bin", "output", "work/target/release"] {
            std::fs::create_dir_all(session.path(folder))?;
        }
        symlink(binary, session.path("bin/guideway"))?;
        symlink(binary, session.work("target/release/guideway"))?;
        for name in ["config", "scripts"] {
            symlink(root().join(name), session.work(name))?;
        }
        Ok(session)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file in the folder that the blocks run in.
    pub fn work(&self, name: &str) -> PathBuf {
        self.path("work").join(name)
    }

    /// Runs a page, in the network namespace `network` or in a new one, after the commands `first`.
    pub fn run(&self, page: &Page, network: Option<&str>, first: &str) -> Result<()> {
        let script = self.path("script");
        std::fs::write(&script, script_of(page, first)?)?;
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", LIMIT]);
        if let Some(name) = network {
            command.args(["ip", "netns", "exec", name]);
        }
        command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        if network.is_none() {
            command.arg("--net");
        }
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap_or_default());
        command.arg("bash").arg(&script);
        command.env("PATH", path).env("FOLDER", self.folder.path()).env("PAGE", &page.name);
        let ended = command.output().context("cannot run the shell of a page")?;
        let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(ended.status.success(), "{}", self.failure(page, &errors));
        let mut last = None;
        for block in &page.blocks {
            match block.kind {
                Kind::Run | Kind::Background => last = Some(block),
                Kind::Output => {
                    let of = last.with_context(|| format!("{}:{}: output of nothing", page.name, block.line))?;
                    let output = self.output(of.line);
                    if let Some(line) = printed::lacks(&output, &block.text) {
                        bail!("{}:{}: not printed: {line:?}; but\n{output}", page.name, block.line);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn output(&self, line: usize) -> String {
        std::fs::read_to_string(self.path("output").join(line.to_string())).unwrap_or_default()
    }

    /// What failed, and all that the page's blocks printed until then.
    fn failure(&self, page: &Page, errors: &str) -> String {
        let failed = std::fs::read_to_string(self.path("failed")).unwrap_or_default();
        let mut text = format!("{failed}{errors}");
        if text.is_empty() {
            text = format!("{}: took more than {LIMIT} s, or was killed\n", page.name);
        }
        for block in &page.blocks {
            let output = self.output(block.line);
            if !output.is_empty() {
                let _ = write!(text, "-- the block of line {} printed:\n{output}", block.line);
            }
        }
        text
    }
}

/// The page as a script of as many lines.
fn script_of(page: &Page, first: &str) -> Result<String> {
    let mut lines = vec![String::new(); page.lines + 1];
    lines[0] = format!("{BEFORE}{}", first.trim().replace('\n', "; "));
    for block in &page.blocks {
        let (open, close) = match around(block) {
            Some(around) => around,
            None => continue,
        };
        // The opening fence is on line `block.line`, the index before it.
        let start = block.line - 1;
        ensure!(start > 0, "{}: begins with a block", page.name);
        lines[start] = open;
        let body: Vec<&str> = block.text.lines().collect();
        for (offset, line) in body.iter().enumerate() {
            (*line).clone_into(&mut lines[start + 1 + offset]);
        }
        lines[start + 1 + body.len()] = close;
    }
    Ok(lines.join("\n"))
}

/// What the fences of a block become, if it runs or is written.
fn around(block: &Block) -> Option<(String, String)> {
    let output = format!("exec >\"$FOLDER/output/{}\" 2>&1", block.line);
    match &block.kind {
        Kind::Run => Some((output, String::new())),
        Kind::Background => {
            let ready = if block.text.contains("guideway run") { "ready" } else { "" };
            Some((format!("{output}; {{"), format!("}} & {ready}")))
        }
        Kind::Toml { file: Some(file) } => Some((format!("cat >{file} <<'END OF BLOCK'"), "END OF BLOCK".to_owned())),
        Kind::NoRun { .. } | Kind::Toml { file: None } | Kind::Output | Kind::Text => None,
    }
}
