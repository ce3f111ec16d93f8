//! `guideway import`.

use crate::Failure;
use anyhow::{Context, anyhow};
use guideway_config::import::{self, Forward, Imported, Note, Options, Source};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Largest source that is read: many times what a balancer needs, and a bound for `/dev/zero`.
const LARGEST: u64 = 64 << 20;
/// The file name that means standard input.
const STDIN: &str = "-";

/// Options of `import`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the file is from; without it, it is guessed.
    #[arg(long, value_enum)]
    from: Option<From>,
    /// The file: of `ipvsadm-save -n`, keepalived.conf, haproxy.cfg; `-` is standard input.
    #[arg(value_name = "FILE", default_value = STDIN)]
    file: PathBuf,
    /// Write the configuration to this file, which must not exist; without it, to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write over the file of `--out`.
    #[arg(long, requires = "out")]
    force: bool,
    /// A configuration of Guideway; all its sections but pools and VIPs are taken.
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// How backends of services get packets whose source rewrites addresses (IPVS with NAT, and HAProxy).
    #[arg(long, value_enum, value_name = "MODE")]
    forward: Option<Mode>,
    /// The address of services that listen on any address; may be given several times.
    #[arg(long = "vip", value_name = "ADDRESS")]
    vips: Vec<IpAddr>,
    /// The configuration and what was not carried over, as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum From {
    Ipvsadm,
    Keepalived,
    Haproxy,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Mode {
    L2dsr,
    Ipip,
    Gre,
    Gue,
    Nat,
    Fullnat,
}

pub(crate) fn import(args: &Args) -> Result<(), Failure> {
    let text = read(&args.file)?;
    let source = args.from.map(source).or_else(|| Source::guess(&text)).ok_or_else(|| {
        let file = shown(&args.file);
        Failure::Usage(format!(
            "guideway: {file}: cannot tell what it is from; say --from ipvsadm, keepalived or haproxy"
        ))
    })?;
    let options = Options {
        forward: args.forward.map(forward),
        addresses: args.vips.clone(),
        base: args.base.as_deref().map(read).transpose()?,
    };
    let imported = import::import(&text, source, &options).map_err(|failure| refused(args, failure))?;
    if let Some(out) = &args.out {
        write(out, &imported.toml, args.force)?;
    }
    tell(args, source, &imported)?;
    Ok(())
}

fn source(from: From) -> Source {
    match from {
        From::Ipvsadm => Source::Ipvsadm,
        From::Keepalived => Source::Keepalived,
        From::Haproxy => Source::Haproxy,
    }
}

fn forward(mode: Mode) -> Forward {
    match mode {
        Mode::L2dsr => Forward::L2dsr,
        Mode::Ipip => Forward::Ipip,
        Mode::Gre => Forward::Gre,
        Mode::Gue => Forward::Gue,
        Mode::Nat => Forward::Nat,
        Mode::Fullnat => Forward::Fullnat,
    }
}

/// How messages name a file.
fn shown(file: &Path) -> String {
    if file == Path::new(STDIN) { "standard input".to_owned() } else { file.display().to_string() }
}

fn read(file: &Path) -> Result<String, Failure> {
    let unreadable = |why: String| Failure::Usage(format!("guideway: cannot read {}: {why}", shown(file)));
    let input: Box<dyn Read> = if file == Path::new(STDIN) {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(|error| unreadable(error.to_string()))?)
    };
    let mut bytes = Vec::new();
    input.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(unreadable(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    // Comments of old files are in all kinds of encodings.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(out: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut how = OpenOptions::new();
    how.write(true).create_new(!force).create(true).truncate(force);
    let file = how.open(out);
    if file.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::AlreadyExists) {
        return Err(Failure::Usage(format!("guideway: {} exists; --force writes over it", out.display())));
    }
    let cannot = || anyhow!("cannot write {}", out.display());
    file.with_context(cannot)?.write_all(text.as_bytes()).with_context(cannot)?;
    Ok(())
}

fn refused(args: &Args, failure: import::Failure) -> Failure {
    let file = shown(&args.file);
    match failure {
        import::Failure::Nothing(notes) => {
            notes.iter().for_each(|note| eprintln!("{file}: {note}"));
            Failure::Usage(format!("guideway: {file}: no service in it could be carried over"))
        }
        import::Failure::Base(why) => {
            let base = args.base.as_deref().map(shown).unwrap_or_default();
            Failure::Usage(format!("guideway: {base}: {why}"))
        }
    }
}

/// The result to standard output, what is missing to standard error.
fn tell(args: &Args, source: Source, imported: &Imported) -> anyhow::Result<()> {
    let file = shown(&args.file);
    let out = args.out.as_deref().map_or_else(|| "the result".to_owned(), shown);
    imported.notes.iter().for_each(|note| eprintln!("{file}: {note}"));
    for error in &imported.refused {
        eprintln!("{}", error.at_path(Path::new(&out)));
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&as_json(source, imported))?);
    } else if args.out.is_none() {
        print!("{}", imported.toml);
    }
    let Imported { pools, vips, backends, notes, .. } = imported;
    eprintln!(
        "{file}: {}: {vips} VIPs, {pools} pools, {backends} backends; {} notes; errors left for `guideway check`: {}",
        source.word(),
        notes.len(),
        imported.refused.len()
    );
    Ok(())
}

fn as_json(source: Source, imported: &Imported) -> Value {
    let Imported { toml, notes, refused, pools, vips, backends } = imported;
    let note = |note: &Note| json!({"line": note.line, "what": note.what, "why": note.why, "instead": note.instead});
    let notes: Vec<Value> = notes.iter().map(note).collect();
    let error = |error: &guideway_config::Diagnostic| {
        let position = error.position;
        json!({
            "line": position.map(|at| at.line),
            "column": position.map(|at| at.column),
            "message": error.message,
            "help": error.help,
        })
    };
    let refused: Vec<Value> = refused.iter().map(error).collect();
    json!({
        "from": source.word(),
        "vips": vips,
        "pools": pools,
        "backends": backends,
        "notes": notes,
        "refused": refused,
        "toml": toml,
    })
}
