//! What became of the frames of one poll, in the words of [`Expect`].

use crate::rig::Rig;
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::port::Packet;
use guideway_dataplane::punt::PuntClass;
use guideway_vectors::Expect;
use std::fmt::Write as _;

/// Takes what a worker sent, punted and dropped since the last call from its bench.
#[derive(Default)]
pub struct Observer {
    dropped: Vec<(DropReason, u64)>,
}

impl Observer {
    /// All outcomes since the last call, [`grouped`].
    pub fn outcomes(&mut self, rig: &Rig) -> Vec<Expect> {
        let mut seen = Vec::new();
        for port in 0..rig.tx.len() as u16 {
            seen.extend(rig.sent(port).into_iter().map(|frame| Expect::Forward { egress: PortId(port), frame }));
        }
        for class in PuntClass::ALL {
            while let Some(punt) = rig.rings.punts.ring(class).pop() {
                seen.push(Expect::Punt { class, link: punt.link, frame: punt.packet.frame().to_vec() });
            }
        }
        let dropped = rig.all_drops();
        for &(reason, count) in &dropped {
            let before = self.dropped.iter().find(|(other, _)| *other == reason).map_or(0, |(_, count)| *count);
            seen.extend((before..count).map(|_| Expect::Drop(reason)));
        }
        self.dropped = dropped;
        seen
    }
}

/// The same outcomes by port, class and reason, in order within each: the order that can be seen from outside.
pub fn grouped(mut outcomes: Vec<Expect>) -> Vec<Expect> {
    outcomes.sort_by_key(|outcome| match outcome {
        Expect::Forward { egress, .. } => (0, egress.0),
        Expect::Punt { class, .. } => (1, *class as u16),
        Expect::Drop(reason) => (2, *reason as u16),
    });
    outcomes
}

/// Outcomes as text, a frame in the notation of the vector files.
pub fn describe(outcomes: &[Expect]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        match outcome {
            Expect::Forward { egress, frame } => describe_frame(&mut text, &format!("by port {}", egress.0), frame),
            Expect::Punt { class, link, frame } => {
                describe_frame(&mut text, &format!("punt {} of link {}", class.label(), link.0), frame);
            }
            Expect::Drop(reason) => {
                let _ = writeln!(text, "    drop {}", reason.label());
            }
        }
    }
    if outcomes.is_empty() { "    nothing\n".to_owned() } else { text }
}

fn describe_frame(text: &mut String, way: &str, frame: &[u8]) {
    let _ = writeln!(text, "    {way}: {} bytes", frame.len());
    for line in frame.chunks(16) {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(text, "      {}", hex.join(" "));
    }
}
