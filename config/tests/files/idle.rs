//! What workers do that found nothing, and what the processor must be able to do for it.

use crate::base::edited;
use guideway_config::model::{Idle, Power};
use guideway_config::{Intrinsics, Machine, parse};

#[test]
fn every_way_to_be_idle() {
    for (word, idle) in [("poll", Idle::Poll), ("adaptive", Idle::Adaptive), ("interrupt", Idle::Interrupt)] {
        let parsed = parse(&edited(&[("[1, 2]", &format!("[1, 2]\nidle = \"{word}\""))]), None);
        let cores = parsed.unwrap_or_else(|errors| panic!("{errors:#?}")).config.cores;
        assert_eq!((cores.idle, cores.idle.label(), cores.power), (idle, word, Power::Off));
    }
}

#[test]
fn power_needs_a_processor_that_saves_it() {
    let with = |power: &str| edited(&[("[1, 2]", &format!("[1]\npower = \"{power}\""))]);
    let plain = Machine::with_cores(2);
    let refused = |machine: &Machine, power: &str| match parse(&with(power), Some(machine)) {
        Ok(parsed) => panic!("{power}: {:?}", parsed.config.cores),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    for (power, instruction) in [("pause", "TPAUSE"), ("monitor", "UMWAIT")] {
        let text = refused(&plain, power);
        assert!(text.contains("7:9") && text.contains(instruction) && text.contains("waitpkg"), "{text}");
        assert!(text.contains("idle = \"interrupt\""), "{text}");
        assert!(parse(&with(power), None).is_ok(), "another machine may have it");
    }
    let pauses = plain.clone().with_intrinsics(Intrinsics { pause: true, ..Intrinsics::default() });
    let cores = |machine: &Machine, power: &str| parse(&with(power), Some(machine)).map(|parsed| parsed.config.cores);
    assert_eq!(cores(&pauses, "pause").map(|cores| cores.power), Ok(Power::Pause));
    assert!(refused(&pauses, "monitor").contains("UMWAIT"));
    let waits = plain.clone().with_intrinsics(Intrinsics { monitor: true, ..Intrinsics::default() });
    assert_eq!(cores(&waits, "monitor").map(|cores| cores.power), Ok(Power::Monitor));
    assert_eq!(cores(&plain, "off").map(|cores| (cores.power, cores.idle)), Ok((Power::Off, Idle::Poll)));
}
