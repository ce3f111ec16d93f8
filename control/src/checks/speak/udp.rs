//! A datagram, and whether the answer is good.

use super::http::contains;
use super::{Datagrams, Fault};
use crate::health::Reason;
use guideway_config::model::Udp;

pub(super) async fn ask(mut datagrams: Datagrams, udp: &Udp) -> Result<(), Fault> {
    datagrams.send(&udp.send).await?;
    let answer = datagrams.receive().await?;
    match &udp.expect {
        Some(expected) if !contains(&answer, expected) => Err(Fault::with(
            Reason::Mismatch,
            &format!("an answer of {} bytes without the expected ones", answer.len()),
        )),
        _ => Ok(()),
    }
}
