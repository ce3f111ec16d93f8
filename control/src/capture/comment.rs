//! What is said of a captured packet: `key=value` pairs, and why a packet was dropped as a sentence.

use crate::replay::labels;
use crate::state::State;
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::observe::Facts;
use guideway_dataplane::select::Verdict;
use std::fmt::Write;

/// The comment on a packet. Names are those that things have now.
pub(super) fn comment(state: &State, facts: &Facts) -> String {
    let (verdict, reason, why) = match facts.verdict {
        None => ("inject", None, Some("Sent by the control side.")),
        Some(Verdict::Forward { .. }) => ("forward", None, None),
        Some(Verdict::Split { .. }) => ("forward", None, Some("It leaves in fragments.")),
        Some(Verdict::HandOff(_)) => ("hand_off", None, Some("Its session is another worker's.")),
        Some(Verdict::Hold) => ("hold", None, Some("It waits for the first fragment of its datagram.")),
        Some(Verdict::Reply(reply)) => ("answer", None, Some(reply.help())),
        Some(Verdict::Punt(class)) => ("punt", Some(class.label()), Some("For the control side.")),
        Some(Verdict::Drop(reason)) => ("drop", Some(reason.label()), Some(reason.help())),
        Some(Verdict::Undecided) => ("drop", None, None),
    };
    let mut text = format!("verdict={verdict}");
    let mut put = |key: &str, value: &dyn std::fmt::Display| {
        // Writing to a string does not fail.
        let _ = write!(text, " {key}={value}");
    };
    if let Some(reason) = reason {
        put("reason", &reason);
    }
    let vip = facts.vip.and_then(|(vip, slot)| Some((state.vip(vip)?, slot)));
    if let Some((vip, _)) = vip {
        put("vip", vip);
        if let Some(pool) = state.config.pools.get(vip.pool) {
            put("pool", &pool.name);
        }
    }
    if let Some(backend) = facts.backend {
        put("backend", &name_of(state, backend));
    }
    if let Some((_, slot)) = vip {
        put("slot", &slot);
    }
    let (by, phase) = facts.by.map_or((None, None), labels);
    if let Some(by) = by {
        put("by", &by);
    }
    if let Some(phase) = phase {
        put("phase", &phase);
    }
    put("generation", &facts.generation);
    put("worker", &facts.worker.0);
    if let Some(why) = why {
        let _ = write!(text, ". {why}");
    }
    text
}

/// `pool/name`; the number of a backend that is gone.
pub(crate) fn name_of(state: &State, id: BackendId) -> String {
    let names = state.find(id).and_then(|(pool, index)| {
        let pool = state.config.pools.get(pool.index())?;
        Some(format!("{}/{}", pool.name, pool.backends.get(index)?.name))
    });
    names.unwrap_or_else(|| format!("#{}", id.0))
}
