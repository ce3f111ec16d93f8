//! Packet vectors: what goes in, and what must come out, as text that a person reads and edits.
//!
//! One TOML file a topic lies beside this crate's manifest; `README.md` there describes the format. [`load`] reads
//! them all. Every mistake in a file is an error that names the file and the vector.

pub mod bytes;
pub mod context;

use crate::bytes::Frames;
use crate::context::Context;
use anyhow::{Context as _, Result, bail, ensure};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::{LinkId, PortId};
use guideway_dataplane::punt::PuntClass;
use guideway_dataplane::wire::checksum;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file whose context and frames the others build on.
const COMMON: &str = "common.toml";

/// One frame in, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Vector {
    /// The file's name without its ending: the topic.
    pub topic: String,
    /// Unique in its topic.
    pub name: String,
    /// The balancer that the frame meets.
    pub context: Arc<Context>,
    /// Where it comes in.
    pub ingress: PortId,
    /// The frame from the Ethernet header on, padding included, frame check sequence not.
    pub frame: Vec<u8>,
    /// What becomes of it.
    pub expect: Expect,
}

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It leaves by this port with these bytes.
    Forward {
        /// The port.
        egress: PortId,
        /// The whole frame that leaves.
        frame: Vec<u8>,
    },
    /// It goes to the control side.
    Punt {
        /// As what.
        class: PuntClass,
        /// The link that it came in on.
        link: LinkId,
        /// The whole frame as it is handed over.
        frame: Vec<u8>,
    },
    /// It ends, counted under this reason.
    Drop(DropReason),
}

/// Frames that follow one another, and what becomes of each: for what the balancer remembers between frames.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The file's name without its ending: the topic.
    pub topic: String,
    /// Unique in its topic.
    pub name: String,
    /// The balancer that the frames meet.
    pub context: Arc<Context>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One frame of a [`Sequence`], or only the passing of time.
#[derive(Clone, Debug)]
pub struct Step {
    /// When, in milliseconds since the beginning.
    pub at: u64,
    /// Where the frame comes in.
    pub ingress: PortId,
    /// The frame; `None` if nothing comes in.
    pub frame: Option<Vec<u8>>,
    /// Whether the worker sees it only with the frame of the next step, in one burst.
    pub together: bool,
    /// All that leaves, is punted or dropped then, in order. Empty if the frame is held.
    pub expect: Vec<Expect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    context: Option<Context>,
    #[serde(default)]
    frames: BTreeMap<String, String>,
    #[serde(default)]
    vector: Vec<RawVector>,
    #[serde(default)]
    sequence: Vec<RawSequence>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSequence {
    name: String,
    step: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    #[serde(default)]
    at: u64,
    #[serde(default)]
    ingress: u16,
    #[serde(rename = "in")]
    frame: Option<String>,
    #[serde(default)]
    fix_ip_checksum: bool,
    #[serde(default)]
    together: bool,
    #[serde(default)]
    expect: Vec<RawExpect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpect {
    drop: Option<String>,
    punt: Option<String>,
    link: Option<u16>,
    out: Option<String>,
    #[serde(default)]
    egress: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVector {
    name: String,
    #[serde(default)]
    ingress: u16,
    #[serde(rename = "in")]
    frame: String,
    #[serde(default)]
    fix_ip_checksum: bool,
    drop: Option<String>,
    punt: Option<String>,
    link: Option<u16>,
    out: Option<String>,
    #[serde(default)]
    egress: u16,
}

/// The folder of the vector files.
#[must_use]
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("topics")
}

/// Every vector of every file, by topic, in the order of the files.
///
/// # Errors
///
/// A file that cannot be read or does not follow the format, by file, vector and what is wrong.
pub fn load() -> Result<Vec<Vector>> {
    Ok(load_all()?.0)
}

/// Every sequence of every file, as [`load`].
///
/// # Errors
///
/// As [`load`].
pub fn load_sequences() -> Result<Vec<Sequence>> {
    Ok(load_all()?.1)
}

fn load_all() -> Result<(Vec<Vector>, Vec<Sequence>)> {
    let folder = folder();
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml") && !path.ends_with(COMMON));
    paths.sort();
    let common = read(&folder.join(COMMON))?;
    let (mut vectors, mut sequences) = (Vec::new(), Vec::new());
    for path in paths {
        let topic = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let of_topic = read_topic(&topic, &path, &common).with_context(|| topic.clone())?;
        vectors.extend(of_topic.0);
        sequences.extend(of_topic.1);
    }
    Ok((vectors, sequences))
}

fn read(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

fn read_topic(topic: &str, path: &Path, common: &File) -> Result<(Vec<Vector>, Vec<Sequence>)> {
    let file = read(path)?;
    let context = Arc::new(file.context.or_else(|| common.context.clone()).context("no context")?);
    context.check()?;
    let mut frames = Frames::default();
    for (name, text) in common.frames.iter().chain(&file.frames) {
        frames.define(name, text).with_context(|| format!("frame {name}"))?;
    }
    let mut vectors: Vec<Vector> = Vec::new();
    for raw in file.vector {
        ensure!(vectors.iter().all(|vector| vector.name != raw.name), "two vectors are named {}", raw.name);
        let (frame, expect) = resolve(&raw, &mut frames, &context).with_context(|| raw.name.clone())?;
        let ingress = PortId(raw.ingress);
        let context = Arc::clone(&context);
        vectors.push(Vector { topic: topic.to_owned(), name: raw.name, context, ingress, frame, expect });
    }
    let mut sequences: Vec<Sequence> = Vec::new();
    for raw in file.sequence {
        ensure!(sequences.iter().all(|sequence| sequence.name != raw.name), "two sequences are named {}", raw.name);
        let steps = raw.step.iter().enumerate().map(|(number, step)| {
            resolve_step(step, &mut frames, &context).with_context(|| format!("{}, step {}", raw.name, number + 1))
        });
        let steps = steps.collect::<Result<_>>()?;
        sequences.push(Sequence { topic: topic.to_owned(), name: raw.name, context: Arc::clone(&context), steps });
    }
    Ok((vectors, sequences))
}

fn resolve_step(raw: &RawStep, frames: &mut Frames, context: &Context) -> Result<Step> {
    let mut frame = raw.frame.as_ref().map(|text| frames.read(text).context("in")).transpose()?;
    if let Some(frame) = frame.as_mut().filter(|_| raw.fix_ip_checksum) {
        fix_ip_checksum(frame)?;
    }
    ensure!(usize::from(raw.ingress) < context.ports.len(), "there is no such port");
    frames.set_input(frame.as_deref().unwrap_or(&[]));
    let ingress = PortId(raw.ingress);
    let expect = raw.expect.iter().map(|expect| expected(expect, ingress, frames, context)).collect::<Result<_>>()?;
    ensure!(!raw.together || raw.expect.is_empty(), "what becomes of it shows in the next step");
    Ok(Step { at: raw.at, ingress, frame, together: raw.together, expect })
}

fn resolve(raw: &RawVector, frames: &mut Frames, context: &Context) -> Result<(Vec<u8>, Expect)> {
    let mut frame = frames.read(&raw.frame).context("in")?;
    if raw.fix_ip_checksum {
        fix_ip_checksum(&mut frame)?;
    }
    ensure!(usize::from(raw.ingress) < context.ports.len(), "there is no such port");
    frames.set_input(&frame);
    let RawVector { drop, punt, link, out, egress, .. } = raw;
    let expect = RawExpect { drop: drop.clone(), punt: punt.clone(), link: *link, out: out.clone(), egress: *egress };
    let expect = expected(&expect, PortId(raw.ingress), frames, context)?;
    Ok((frame, expect))
}

fn expected(raw: &RawExpect, ingress: PortId, frames: &Frames, context: &Context) -> Result<Expect> {
    ensure!(usize::from(raw.egress) < context.ports.len(), "there is no such port");
    ensure!(raw.punt.is_some() || raw.link.is_none(), "only a punt has a link");
    Ok(match (&raw.drop, &raw.punt, &raw.out) {
        (Some(label), None, None) => {
            let reason = DropReason::ALL.iter().find(|reason| reason.label() == label);
            Expect::Drop(*reason.with_context(|| format!("no drop reason {label}"))?)
        }
        (None, Some(label), text) => {
            let class = PuntClass::ALL.iter().find(|class| class.label() == label);
            let class = *class.with_context(|| format!("no punt class {label}"))?;
            let frame = frames.read(text.as_deref().unwrap_or("@in")).context("out")?;
            Expect::Punt { class, link: LinkId(raw.link.unwrap_or(ingress.0)), frame }
        }
        (None, None, Some(text)) => {
            Expect::Forward { egress: PortId(raw.egress), frame: frames.read(text).context("out")? }
        }
        _ => bail!("one of drop, punt and out says what is expected"),
    })
}

/// Makes the checksum of the IPv4 header behind an untagged Ethernet header right.
fn fix_ip_checksum(frame: &mut [u8]) -> Result<()> {
    let header_len = frame.get(14).map_or(0, |first| usize::from(first & 0x0f) * 4);
    let header = frame.get_mut(14..14 + header_len).filter(|header| header.len() >= 20);
    let header = header.context("no IPv4 header whose checksum could be fixed")?;
    header[10..12].fill(0);
    let checksum = checksum::of(header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    Ok(())
}
