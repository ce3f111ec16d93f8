//! Any bytes, as what a backend answers to a check: the line of an agent, a DNS message, a gRPC message, or a packet to the
//! prober.
#![no_main]

use guideway_config::model::{CheckTimes, Dns};
use guideway_control::checks::speak::answers::{self, Line};
use guideway_control::health::{FIRST_PROBE_PORT, Prober, Received, Target};
use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;
use guideway_fuzz::answer;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

/// Words of an agent are numbers up to this.
const HIGHEST_PERCENT: u16 = 256;
/// When a probe is on its way.
const NOW: Nanos = Nanos(1_000_000_000);

fn line(bytes: &[u8]) {
    let Some((line, shown)) = Line::parse(bytes) else { return };
    assert!(line.percent.is_none_or(|percent| percent <= HIGHEST_PERCENT));
    assert!(!shown.chars().any(char::is_control));
    assert!(shown.len() <= 4 * bytes.len(), "nothing is made up");
}

/// Whatever is taken for an answer has the id of the question and says that it is a response.
fn dns(bytes: &[u8]) {
    let asked = Dns { name: "www.example.com".to_owned(), record_type: 28, expect_rcode: 0 };
    if let Some(judged) = answers::dns(bytes, answer::DNS_ID, &asked) {
        assert_eq!(bytes.first_chunk(), Some(&answer::DNS_ID.to_be_bytes()));
        assert_eq!(bytes[2] & 0xf8, 0x80, "a response to a query");
        assert_eq!(judged.is_ok(), bytes[3] & 0xf == 0);
    }
}

/// What is good is a whole message that is not compressed.
fn grpc(bytes: &[u8]) {
    if answers::grpc(bytes) == Some(true) {
        assert_eq!(bytes[0], 0);
        let len = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
        assert!(len <= bytes.len() - 5);
    }
}

/// Without the number of the probe nothing judges the backend.
fn packet(bytes: &[u8]) {
    let check = CheckTimes {
        interval: Duration::from_millis(20),
        fast_interval: Duration::from_millis(10),
        timeout: Duration::from_millis(20),
        rise: 1,
        fall: 1,
    };
    let (destination, source) = (answer::VIP.into(), answer::OWN.into());
    let target = Target { backend: BackendId(0), destination, port: 80, source, check, number: 0 };
    let mut prober = Prober::new(*b"a secret of ours");
    prober.set_targets(&[target], NOW).expect("a target that can be probed");
    let mut cookie = None;
    prober.poll(NOW, None, &mut |probe| cookie = probe.packet.get(24..28).map(<[u8]>::to_vec));
    let received = prober.receive(NOW, bytes, &mut |probe| {
        assert_eq!(probe.packet[20..22], FIRST_PROBE_PORT.to_be_bytes());
    });
    if !matches!(received, Received::Ignored(_)) {
        let cookie = cookie.expect("a probe was sent");
        let number = u32::from_be_bytes([cookie[0], cookie[1], cookie[2], cookie[3]]);
        let told = [number, number.wrapping_add(1)].map(u32::to_be_bytes);
        assert!(bytes.windows(4).any(|window| told.iter().any(|number| number == window)));
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind % 4 {
        answer::LINE => line(bytes),
        answer::DNS => dns(bytes),
        answer::GRPC => grpc(bytes),
        _ => packet(bytes),
    }
});
