//! Fills the corpora from the packet vectors: one input a vector for each target, and one of a whole topic.

use std::fs;
use std::path::Path;

fn main() -> anyhow::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let (parse, forward) = (corpus.join("parse"), corpus.join("forward"));
    fs::create_dir_all(&parse)?;
    fs::create_dir_all(&forward)?;
    let vectors = guideway_vectors::load()?;
    for topic in vectors.chunk_by(|a, b| a.topic == b.topic) {
        let mut all = Vec::new();
        for vector in topic {
            let name = format!("{}-{}", vector.topic, vector.name);
            fs::write(parse.join(&name), [&[0xff, 0x7f], &vector.frame[..]].concat())?;
            let one =
                [&[vector.ingress.0 as u8], &(vector.frame.len() as u16).to_le_bytes()[..], &vector.frame].concat();
            fs::write(forward.join(&name), &one)?;
            all.extend(one);
        }
        fs::write(forward.join(&topic[0].topic), all)?;
    }
    println!("{} vectors into {}", vectors.len(), corpus.display());
    Ok(())
}
