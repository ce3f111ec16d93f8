//! What the measurement of first bytes stands on: every way to the backend carries connections, TLS ends where it says, and the
//! backend learns the client's address as it says.

use crate::setup::BINARY;
use anyhow::{Context, Result, ensure};
use guideway_lab::first_byte::{Place, Site, Way};
use guideway_lab::{cores, runnable};
use std::net::IpAddr;

/// Connections of a way, by as many at once.
const CONNECTIONS: usize = 12;
const SIDE_BY_SIDE: usize = 3;

#[test]
fn every_way_answers_as_it_says() -> Result<()> {
    if !runnable("the time to the first byte") {
        return Ok(());
    }
    let cores = cores()?;
    let (first, last) = (cores[0], cores[cores.len() - 1]);
    let place = Place { balancer: last, others: first, real_time: None };
    let site = Site::build(BINARY.into(), place)?;
    // The last one again: what a way leaves behind must not be in the way of the next.
    for way in Way::ALL.into_iter().chain([Way::GuidewayFullnat]) {
        let open = site.open(way, "adaptive")?;
        let name = way.name();
        let asked = open.ask(way.asks_for_client()).with_context(|| format!("{name}\n{}", open.log()))?;
        ensure!(asked.was_shown(site.expected(way))?, "{name}: another certificate");
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        let client = body.split_whitespace().next().and_then(|word| word.parse::<IpAddr>().ok());
        ensure!(client == Some(asked.local.ip()), "{name}: the backend takes {body:?} for {}", asked.local);
        let round = open.round(CONNECTIONS, SIDE_BY_SIDE)?;
        ensure!(round.failed == 0 && round.visits.len() == CONNECTIONS, "{name}: {:?}\n{}", round.failures, open.log());
        for visit in &round.visits {
            ensure!(visit.was_shown(site.expected(way))?, "{name}: another certificate");
            let steps = [visit.connected, visit.secured, visit.first_byte];
            ensure!(steps.is_sorted() && !steps[0].is_zero(), "{name}: {steps:?}");
        }
    }
    Ok(())
}
