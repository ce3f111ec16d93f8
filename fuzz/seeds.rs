//! Fills the corpora from the packet vectors: one input a frame for `parse`, two for `nat`; for `forward` one a vector, one a sequence, and
//! one of each topic. Those of the targets about health checks are made up.

mod seeds_of_checks;

use anyhow::{Context as _, Result};
use guideway_fuzz::{Record, contexts};
use guideway_vectors::Sequence;
use std::fs;
use std::path::{Path, PathBuf};

struct Corpora {
    parse: PathBuf,
    nat: PathBuf,
    forward: PathBuf,
    topics: Vec<String>,
}

impl Corpora {
    fn parse(&self, name: &str, frame: &[u8]) -> Result<()> {
        Ok(fs::write(self.parse.join(name), [&[0xff, 0x7f], frame].concat())?)
    }

    /// One input for each IP version to translate to.
    fn nat(&self, name: &str, frame: &[u8]) -> Result<()> {
        for (version, choice) in [("v4", 2), ("v6", 3)] {
            let settings = [0xff, 0x7f, choice, 0xff, 0x20, 0x30];
            fs::write(self.nat.join(format!("{name}-{version}")), [&settings, frame].concat())?;
        }
        Ok(())
    }

    fn forward(&self, topic: &str, name: &str, records: &[u8]) -> Result<()> {
        let place = self.topics.iter().position(|other| other == topic).context("a topic without a context")?;
        Ok(fs::write(self.forward.join(name), [&[place as u8], records].concat())?)
    }
}

/// All frames of a sequence in one input.
fn records(sequence: &Sequence) -> Vec<u8> {
    let mut records = Vec::new();
    let mut pause = false;
    for step in &sequence.steps {
        if let Some(frame) = &step.frame {
            Record { port: step.ingress.0 as u8, pause, frame }.write(&mut records);
        }
        pause = !step.together;
    }
    records
}

fn main() -> Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let topics = contexts()?.into_keys().collect();
    let corpora =
        Corpora { parse: corpus.join("parse"), nat: corpus.join("nat"), forward: corpus.join("forward"), topics };
    fs::create_dir_all(&corpora.parse)?;
    fs::create_dir_all(&corpora.nat)?;
    fs::create_dir_all(&corpora.forward)?;
    let (vectors, sequences) = (guideway_vectors::load()?, guideway_vectors::load_sequences()?);
    for topic in vectors.chunk_by(|a, b| a.topic == b.topic) {
        let mut all = Vec::new();
        for vector in topic {
            let name = format!("{}-{}", vector.topic, vector.name);
            corpora.parse(&name, &vector.frame)?;
            corpora.nat(&name, &vector.frame)?;
            let mut one = Vec::new();
            Record { port: vector.ingress.0 as u8, pause: false, frame: &vector.frame }.write(&mut one);
            corpora.forward(&vector.topic, &name, &one)?;
            all.extend(one);
        }
        corpora.forward(&topic[0].topic, &topic[0].topic, &all)?;
    }
    for sequence in &sequences {
        let name = format!("{}-{}", sequence.topic, sequence.name);
        for (number, frame) in sequence.steps.iter().filter_map(|step| step.frame.as_ref()).enumerate() {
            corpora.parse(&format!("{name}-{number}"), frame)?;
            corpora.nat(&format!("{name}-{number}"), frame)?;
        }
        corpora.forward(&sequence.topic, &name, &records(sequence))?;
    }
    let of_checks = seeds_of_checks::write(&corpus)?;
    println!(
        "{} vectors, {} sequences and {of_checks} answers into {}",
        vectors.len(),
        sequences.len(),
        corpus.display()
    );
    Ok(())
}
