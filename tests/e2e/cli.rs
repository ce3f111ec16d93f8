//! What an operator gets who did something wrong: one clear line for each mistake, and the right exit code.

use crate::setup::BINARY;
use anyhow::{Context, Result, ensure};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Bad usage or configuration.
const USAGE: Option<i32> = Some(2);
/// A failure at run time.
const RUNTIME: Option<i32> = Some(1);
/// Nobody: a user and group without any right.
const NOBODY: u32 = 65534;

const FIVE_MISTAKES: &str = r#"[fleet]
hash_key = "00010203"
[cores]
control = 0
workers = [0]
idle = "adaptive"
[[port]]
name = "edge"
device = "net_null0"
mtuu = 1500
[[interface]]
port = "edgy"
addresses = ["10.0.0.1/24"]
[[pool]]
name = "web"
forward = "l2dsr"
[[pool.backend]]
name = "web1"
address = "10.0.0.11"
weight = -1
[[vip]]
address = "127.0.0.1"
protocol = "tcp"
port = 80
pool = "web"
"#;

/// A folder that everybody may use, with a copy of the program that everybody may run.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let allow = |path: &Path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777));
        allow(folder.path())?;
        let program = folder.path().join("guideway");
        // By another process: a file that is open for writing here cannot be run, and a child that another test starts
        // at this moment would hold it open.
        let copied = Command::new("cp").arg(BINARY).arg(&program).status().context("cannot run cp")?;
        ensure!(copied.success(), "cannot copy the program: {copied}");
        allow(&program)?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }

    /// A good configuration but for its device.
    fn config(&self, device: &str) -> Result<PathBuf> {
        let socket = self.path("guideway.sock");
        let text = FIVE_MISTAKES
            .replace("00010203", "000102030405060708090a0b0c0d0e0f")
            .replace("net_null0", device)
            .replace("mtuu", "mtu")
            .replace("edgy", "edge")
            .replace("weight = -1\n", "")
            .replace("127.0.0.1", "203.0.113.10");
        self.write("config.toml", format!("{text}[api]\nsocket = \"{}\"\n", socket.display()))
    }

    fn run(&self, arguments: &[&str], as_nobody: bool) -> Result<Output> {
        let mut command = Command::new(self.path("guideway"));
        command.current_dir(self.folder.path()).args(arguments);
        if as_nobody && nix::unistd::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().context("cannot run the program")
    }
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect()
}

/// Checks that a command fails with this code and, warnings aside, one line that contains all of `parts`.
fn fails(output: &Output, code: Option<i32>, parts: &[&str]) {
    let mut lines = lines(output);
    lines.retain(|line| !line.contains(": warning: "));
    assert_eq!(output.status.code(), code, "{lines:?}");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in parts {
        assert!(lines[0].contains(part), "no {part:?} in {:?}", lines[0]);
    }
}

#[test]
fn check_tells_every_mistake_at_its_place() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("five.toml", FIVE_MISTAKES)?;
    for command in ["check", "run"] {
        let output = folder.run(&[command, "--config", "five.toml"], false)?;
        assert_eq!(output.status.code(), USAGE);
        assert_eq!(output.stdout, b"");
        let lines = lines(&output);
        let places = [(2, 12), (10, 1), (12, 8), (20, 10), (22, 11)];
        let subjects = ["hash_key", "mtuu", "edgy", "weight", "127.0.0.1"];
        assert_eq!(lines.len(), places.len(), "{lines:?}");
        for ((line, (row, column)), subject) in lines.iter().zip(places).zip(subjects) {
            assert!(line.starts_with(&format!("five.toml:{row}:{column}: error: ")), "{line}");
            assert!(line.contains(subject), "{line}");
        }
    }
    Ok(())
}

#[test]
fn a_file_that_is_none_gives_one_line() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("empty.toml", "")?;
    folder.write("binary.toml", [0x7f, b'E', b'L', b'F', 0xfe, 0xff, 0, 0])?;
    let secret = folder.write("secret.toml", FIVE_MISTAKES)?;
    std::fs::set_permissions(secret, std::fs::Permissions::from_mode(0o000))?;
    std::fs::create_dir(folder.path("folder.toml"))?;
    for (name, part) in [
        ("empty.toml", "empty"),
        ("binary.toml", "binary"),
        ("secret.toml", "Permission denied"),
        ("folder.toml", "Is a directory"),
        ("nowhere.toml", "No such file"),
    ] {
        for command in ["check", "run", "replay"] {
            let capture: &[&str] = if command == "replay" { &["--in", "nowhere.pcap"] } else { &[] };
            let output = folder.run(&[&[command, "--config", name], capture].concat(), true)?;
            fails(&output, USAGE, &[name, "error: ", part]);
        }
    }
    Ok(())
}

#[test]
fn run_without_its_interface_or_its_rights_says_what_is_missing() -> Result<()> {
    let folder = Folder::new()?;
    for driver in ["net_af_packet0", "net_af_xdp0"] {
        folder.config(&format!("{driver},iface=nosuch0"))?;
        let output = folder.run(&["run", "--no-hugepages", "--config", "config.toml"], false)?;
        fails(&output, RUNTIME, &["port edge", "nosuch0", "does not exist"]);
        assert!(!folder.path("guideway.sock").exists(), "a failed start leaves nothing behind");

        folder.config(&format!("{driver},iface=lo"))?;
        let output = folder.run(&["run", "--no-hugepages", "--config", "config.toml"], true)?;
        fails(&output, RUNTIME, &["port edge", "permission denied", "run as root", "CAP_NET_RAW"]);
    }
    Ok(())
}

#[test]
fn a_device_that_no_driver_knows_is_named() -> Result<()> {
    let folder = Folder::new()?;
    folder.config("net_nonsense0")?;
    let output = folder.run(&["run", "--no-hugepages", "--config", "config.toml"], false)?;
    let lines = lines(&output);
    assert!(output.status.code() == RUNTIME || output.status.code() == USAGE, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("net_nonsense0")), "{lines:?}");
    Ok(())
}

#[test]
fn a_device_that_cannot_wake_a_worker_is_named() -> Result<()> {
    let folder = Folder::new()?;
    let file = folder.config("net_null0")?;
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("adaptive", "interrupt"))?;
    let output = folder.run(&["run", "--no-hugepages", "--config", "config.toml"], false)?;
    fails(&output, RUNTIME, &["port edge", "net_null", "cannot wake a worker", "idle = \"adaptive\""]);
    Ok(())
}

#[test]
fn power_that_the_processor_cannot_save_is_refused() -> Result<()> {
    let has = std::fs::read_to_string("/proc/cpuinfo")?.contains(" waitpkg");
    let folder = Folder::new()?;
    let file = folder.config("net_null0")?;
    let text = std::fs::read_to_string(&file)?;
    let text = text
        .replace("control = 0\nworkers = [0]\nidle = \"adaptive\"", "control = 0\nworkers = [1]\npower = \"pause\"");
    std::fs::write(&file, text)?;
    let output = folder.run(&["check", "--any-machine", "--config", "config.toml"], false)?;
    assert!(output.status.success(), "another machine may have it: {:?}", lines(&output));
    if !has {
        for command in [&["check"][..], &["run", "--no-hugepages"]] {
            let output = folder.run(&[command, &["--config", "config.toml"]].concat(), false)?;
            fails(&output, USAGE, &["config.toml:6:9", "TPAUSE", "waitpkg", "idle = \"interrupt\""]);
        }
    }
    Ok(())
}

#[test]
fn commands_without_a_process_say_so() -> Result<()> {
    let folder = Folder::new()?;
    for command in [&["status"][..], &["backend", "drain", "web/web2", "--wait"], &["backend", "enable", "web2"]] {
        let output = folder.run(&[command, &["--socket", "nothing.sock"]].concat(), false)?;
        fails(&output, RUNTIME, &["nothing.sock"]);
    }
    Ok(())
}

#[test]
fn usage_is_told() -> Result<()> {
    let folder = Folder::new()?;
    for arguments in [&["fly"][..], &["run"], &["check", "--config"], &[]] {
        let output = folder.run(arguments, false)?;
        assert_eq!(output.status.code(), USAGE, "{arguments:?}");
        let lines = lines(&output);
        let helps = |line: &String| line.contains("Usage: guideway") || line.contains("try '--help'");
        assert!(lines.iter().any(helps), "{arguments:?}: {lines:?}");
    }
    Ok(())
}

/// `guideway … | head`: who has seen enough closes the pipe.
#[test]
fn a_closed_pipe_ends_a_command_without_a_word() -> Result<()> {
    let folder = Folder::new()?;
    let config = folder.config("net_null0")?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut check = Command::new(folder.path("guideway"));
    let output = check.arg("check").arg("--config").arg(config).stdout(writer).output()?;
    ensure!(output.status.code() == Some(128 + 13), "{:?}", output.status);
    ensure!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
