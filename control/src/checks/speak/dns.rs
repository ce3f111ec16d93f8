//! A question over UDP (RFC 1035), and whether the answer is good.

use super::{Datagrams, Fault};
use crate::health::Reason;
use guideway_config::model::Dns;
use smoltcp::wire::{DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRepr};

/// Longest name of a question in its wire form (RFC 1035, section 2.3.4), and a margin for a root's label.
const LONGEST_NAME: usize = 256;

/// Asks, and waits for the answer to this question: others may come from questions before, or from strangers.
pub(super) async fn ask(mut datagrams: Datagrams, dns: &Dns) -> Result<(), Fault> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|error| Fault::ours(&error))?;
    let id = u16::from_be_bytes(id);
    datagrams.send(&question(id, dns)).await?;
    loop {
        if let Some(judged) = judge(&datagrams.receive().await?, id, dns) {
            return judged;
        }
    }
}

/// A name in its wire form.
fn name(text: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(LONGEST_NAME);
    for label in text.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        // Validation of the configuration bounds it to 63.
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

fn question(id: u16, dns: &Dns) -> Vec<u8> {
    let name = name(&dns.name);
    let repr = DnsRepr {
        transaction_id: id,
        opcode: DnsOpcode::Query,
        flags: DnsFlags::RECURSION_DESIRED,
        question: DnsQuestion { name: &name, type_: DnsQueryType::from(dns.record_type) },
    };
    let mut message = vec![0; repr.buffer_len()];
    repr.emit(&mut DnsPacket::new_unchecked(&mut message[..]));
    message
}

/// Judges a message of any bytes. `None`: it does not answer question `id`.
///
/// # Errors
///
/// A fault of the answer.
#[must_use]
pub fn judge(message: &[u8], id: u16, dns: &Dns) -> Option<Result<(), Fault>> {
    let packet = DnsPacket::new_checked(message).ok()?;
    let answers = packet.flags().contains(DnsFlags::RESPONSE) && packet.transaction_id() == id;
    if !answers || packet.opcode() != DnsOpcode::Query {
        return None;
    }
    // A server that did not understand the question need not repeat it.
    if packet.question_count() > 0 && !repeats(&packet, dns) {
        return None;
    }
    let code = u8::from(packet.rcode());
    Some(if code == dns.expect_rcode { Ok(()) } else { Err(Fault::of(Reason::Rcode(code))) })
}

/// Whether the message has our question, in whatever case (RFC 4343).
fn repeats(packet: &DnsPacket<&[u8]>, dns: &Dns) -> bool {
    let Ok((_, question)) = DnsQuestion::parse(packet.payload()) else { return false };
    question.type_ == DnsQueryType::from(dns.record_type) && question.name.eq_ignore_ascii_case(&name(&dns.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked() -> Dns {
        Dns { name: "www.Example.com".to_owned(), record_type: 28, expect_rcode: 0 }
    }

    /// The question as its answer, with this response code.
    fn answer(id: u16, rcode: u8) -> Vec<u8> {
        let mut message = question(id, &asked());
        message[2] |= 0x80;
        message[3] |= rcode;
        message
    }

    #[test]
    fn a_question_is_written_as_rfc_1035_has_it() {
        let wire = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03www\x07Example\x03com\0\0\x1c\0\x01";
        assert_eq!(question(0x1234, &asked()), wire);
        let root = Dns { name: ".".to_owned(), record_type: 2, expect_rcode: 0 };
        assert_eq!(&question(1, &root)[12..], b"\0\0\x02\0\x01");
    }

    #[test]
    fn the_code_decides_and_strangers_do_not() {
        assert_eq!(judge(&answer(7, 0), 7, &asked()), Some(Ok(())));
        assert_eq!(judge(&answer(7, 2), 7, &asked()), Some(Err(Fault::of(Reason::Rcode(2)))));
        let refused = Dns { expect_rcode: 5, ..asked() };
        assert_eq!(judge(&answer(7, 5), 7, &refused), Some(Ok(())));
        assert_eq!(judge(&answer(8, 0), 7, &asked()), None, "another id");
        assert_eq!(judge(&question(7, &asked()), 7, &asked()), None, "a question");
        let other = Dns { name: "www.example.org".to_owned(), ..asked() };
        assert_eq!(judge(&answer(7, 0), 7, &other), None, "another name");
        let lower = Dns { name: "WWW.example.COM.".to_owned(), ..asked() };
        assert_eq!(judge(&answer(7, 0), 7, &lower), Some(Ok(())), "case and a last dot do not matter");
        let mut bare = answer(7, 1)[..12].to_vec();
        bare[5] = 0;
        assert_eq!(judge(&bare, 7, &asked()), Some(Err(Fault::of(Reason::Rcode(1)))), "a header alone");
    }

    proptest! {
        #[test]
        fn damaged_answers_never_panic(flips in prop::collection::vec((0_usize..40, any::<u8>()), 0..6), cut in 0_usize..40) {
            let mut message = answer(7, 0);
            for (at, byte) in flips {
                let len = message.len();
                message[at % len] = byte;
            }
            message.truncate(cut.max(1));
            let _ = judge(&message, 7, &asked());
        }

        #[test]
        fn any_bytes_never_panic(message in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = judge(&message, 7, &asked());
        }
    }
}
