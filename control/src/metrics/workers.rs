//! Families of workers, and of the ports that they poll. Read in place: workers go on.

use super::families::Families;
use super::sample::{PortSample, Sample};
use guideway_config::model::Port;
use guideway_dataplane::counters::{Counter, WorkerCounters};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::punt::PuntClass;
use std::fmt;
use std::time::Duration;

/// A count of one worker: name, help, where it is.
type Count = (&'static str, &'static str, fn(&WorkerCounters) -> u64);

/// What a worker counts. Both sides of the conservation law are among it:
/// received + injected + released + added = sent + handed off + dropped + punted + held.
const COUNTS: [Count; 18] = [
    ("worker_received_packets", "Frames from receive queues.", |c| c.received.packets.get()),
    ("worker_received_bytes", "Bytes of frames from receive queues.", |c| c.received.bytes.get()),
    ("worker_sent_packets", "Frames that a transmit queue took.", |c| c.sent.packets.get()),
    ("worker_sent_bytes", "Bytes of frames that a transmit queue took.", |c| c.sent.bytes.get()),
    ("worker_injected_packets", "Packets from the control side or another worker.", |c| c.injected.get()),
    (
        "worker_handed_off_packets",
        "Frames given to another worker: that of the transmit queue, or of the session.",
        |c| c.handed_off.get(),
    ),
    ("worker_held_fragments", "Fragments that were held until the first one of their datagram came.", |c| c.held.get()),
    ("worker_released_fragments", "Fragments that are no longer held.", |c| c.released.get()),
    (
        "worker_added_fragments",
        "Frames that exist because a packet left as several fragments: all but the first of each.",
        |c| c.added.get(),
    ),
    ("worker_too_big_answers", "Packets that were too big and whose senders were told what fits.", |c| {
        c.told_too_big.get()
    }),
    ("worker_dropped_packets", "Frames dropped.", WorkerCounters::dropped),
    ("worker_punted_packets", "Packets given to the control side.", |c| c.punted.iter().map(Counter::get).sum()),
    ("worker_polls", "Polls of all queues.", |c| c.polls.get()),
    ("worker_bursts", "Bursts that held at least one packet.", |c| c.bursts.get()),
    ("worker_sleeps", "How often the worker slept until something woke it.", |c| c.sleeps.get()),
    ("worker_stalls", "How often something kept the worker from polling for more than 10 ms.", |c| c.stalls.get()),
    ("worker_inserted_pins", "Pins that the worker wrote.", |c| c.pins.inserted.get()),
    ("worker_contended_pins", "Packets that went without a pin since other workers changed it all the time.", |c| {
        c.pins.contended.get()
    }),
];

pub(super) fn workers(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    let cores: Vec<String> = sample.config.cores.workers.iter().map(ToString::to_string).collect();
    let each = || cores.iter().zip(&sample.counters).map(|(core, counters)| ([("core", core.as_str())], counters));
    for (name, help, count) in COUNTS {
        families.counters(name, help, each().map(|(labels, counters)| (labels, count(counters))))?;
    }
    let seconds = |nanos: &Counter| Duration::from_nanos(nanos.get()).as_secs_f64();
    families.counters(
        "worker_busy_seconds",
        "Time in polls that found something to do.",
        each().map(|(labels, counters)| (labels, seconds(&counters.busy_nanos))),
    )?;
    families.counters(
        "worker_seconds",
        "Time between the first and the latest poll.",
        each().map(|(labels, counters)| (labels, seconds(&counters.total_nanos))),
    )
}

/// What is counted by a reason or a class, over all workers.
pub(super) fn sums(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    let sum = |of: &dyn Fn(&WorkerCounters) -> u64| -> u64 { sample.counters.iter().map(|c| of(c)).sum() };
    let dropped = |reason: &DropReason| {
        let index = *reason as usize;
        ([("reason", reason.label())], sum(&|counters| counters.drops[index].get()))
    };
    families.counters("dropped_packets", "Packets dropped, by reason.", DropReason::ALL.iter().map(dropped))?;
    let punted = |class: &PuntClass| {
        let index = *class as usize;
        ([("class", class.label())], sum(&|counters| counters.punted[index].get()))
    };
    families.counters(
        "punted_packets",
        "Packets given to the control side, by class.",
        PuntClass::ALL.iter().map(punted),
    )
}

/// A count of one port: name, help, where it is.
type PortCount = (&'static str, &'static str, fn(&PortSample) -> u64);

const PORT_COUNTS: [PortCount; 8] = [
    ("port_received_packets", "Frames that the device received.", |port| port.counters.received),
    ("port_received_bytes", "Bytes that the device received.", |port| port.counters.received_bytes),
    ("port_sent_packets", "Frames that the device sent.", |port| port.counters.sent),
    ("port_sent_bytes", "Bytes that the device sent.", |port| port.counters.sent_bytes),
    ("port_missed_packets", "Frames that arrived and found no place in a receive queue.", |port| port.counters.missed),
    ("port_receive_errors", "Frames received with errors.", |port| port.counters.receive_errors),
    ("port_send_errors", "Frames that could not be sent.", |port| port.counters.send_errors),
    ("port_no_buffer_packets", "Frames that found no free buffer.", |port| port.counters.no_buffer),
];

pub(super) fn ports(families: &mut Families<'_>, sample: &Sample) -> fmt::Result {
    let label = |(of_config, port): (&'_ Port, _)| ([("port", of_config.name.clone())], port);
    let each = || sample.config.ports.iter().zip(&sample.ports).map(label);
    families.gauges(
        "port_up",
        "Whether the port's link is up.",
        each().map(|(labels, port)| (labels, u64::from(port.up))),
    )?;
    for (name, help, count) in PORT_COUNTS {
        families.counters(name, help, each().map(|(labels, port)| (labels, count(port))))?;
    }
    Ok(())
}
