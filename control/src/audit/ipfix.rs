//! Messages of IPFIX (RFC 7011): what a collector of flows takes.
//!
//! | information element (IANA, RFC 7012) | id | what |
//! | --- | --- | --- |
//! | `flowStartMilliseconds` | 152 | when it begins |
//! | `sourceIPv4Address`, `sourceIPv6Address` | 8, 27 | the client |
//! | `destinationIPv4Address`, `destinationIPv6Address` | 12, 28 | the VIP's address |
//! | `sourceTransportPort`, `destinationTransportPort` | 7, 11 | ports of both |
//! | `protocolIdentifier` | 4 | TCP or UDP |
//! | `ipNextHopIPv4Address`, `ipNextHopIPv6Address` | 15, 62 | the backend |
//!
//! The backend is the next hop, since that is what it is: no mode of forwarding rewrites the destination, so there is no
//! address after NAT.

use super::Connection;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of a message: what a path of 1,500 bytes carries over IPv6 and UDP (section 10.3.3 wants no fragments).
const LONGEST: usize = 1_440;
/// Version of the protocol.
const VERSION: u16 = 10;
const MESSAGE_HEADER: usize = 16;
const SET_HEADER: usize = 4;
/// The set that templates are in.
const TEMPLATES: u16 = 2;
/// The first number of a template.
const FIRST_TEMPLATE: u16 = 256;
/// How often templates are sent again: UDP may have lost them (section 8.4).
const TEMPLATES_EVERY: Duration = Duration::from_secs(60);

/// The families of a flow and of its backend: each pair has a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Families {
    flow_v6: bool,
    backend_v6: bool,
}

impl Families {
    const ALL: [Self; 4] = [
        Self { flow_v6: false, backend_v6: false },
        Self { flow_v6: true, backend_v6: false },
        Self { flow_v6: false, backend_v6: true },
        Self { flow_v6: true, backend_v6: true },
    ];

    fn of(connection: &Connection) -> Self {
        Self {
            flow_v6: connection.client.is_ipv6(),
            // A backend that is gone counts as 0.0.0.0.
            backend_v6: connection.backend_address.is_some_and(|address| address.is_ipv6()),
        }
    }

    const fn template(self) -> u16 {
        FIRST_TEMPLATE + self.flow_v6 as u16 + 2 * self.backend_v6 as u16
    }

    /// Elements and their lengths, in the order of a record.
    const fn fields(self) -> [(u16, u16); 7] {
        let [source, destination] = if self.flow_v6 { [(27, 16), (28, 16)] } else { [(8, 4), (12, 4)] };
        let next_hop = if self.backend_v6 { (62, 16) } else { (15, 4) };
        [(152, 8), source, destination, (7, 2), (11, 2), (4, 1), next_hop]
    }

    fn record_len(self) -> usize {
        self.fields().iter().map(|(_, len)| usize::from(*len)).sum()
    }
}

/// What a collector has to be told in order.
#[derive(Debug, Default)]
pub(super) struct Exporter {
    /// Records sent so far (section 3.1).
    sequence: u32,
    templates_at: Option<SystemTime>,
}

impl Exporter {
    /// These connections as messages.
    pub(super) fn messages(&mut self, now: SystemTime, connections: &[Connection]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let fresh = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age < TEMPLATES_EVERY);
        if !self.templates_at.is_some_and(fresh) {
            self.templates_at = Some(now);
            messages.push(self.message(now, TEMPLATES, &templates(), 0));
        }
        for families in Families::ALL {
            let of_kind: Vec<&Connection> =
                connections.iter().filter(|connection| Families::of(connection) == families).collect();
            let most = (LONGEST - MESSAGE_HEADER - SET_HEADER) / families.record_len();
            for some in of_kind.chunks(most) {
                let records: Vec<u8> = some.iter().flat_map(|connection| record(connection, families)).collect();
                messages.push(self.message(now, families.template(), &records, some.len() as u32));
            }
        }
        messages
    }

    /// A message with one set of `records` records.
    fn message(&mut self, now: SystemTime, set: u16, body: &[u8], records: u32) -> Vec<u8> {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as u32;
        let set_len = (SET_HEADER + body.len()) as u16;
        let mut message = Vec::with_capacity(MESSAGE_HEADER + usize::from(set_len));
        message.extend(VERSION.to_be_bytes());
        message.extend((MESSAGE_HEADER as u16 + set_len).to_be_bytes());
        message.extend(seconds.to_be_bytes());
        message.extend(self.sequence.to_be_bytes());
        // The observation domain: there is one.
        message.extend(1_u32.to_be_bytes());
        message.extend(set.to_be_bytes());
        message.extend(set_len.to_be_bytes());
        message.extend(body);
        self.sequence = self.sequence.wrapping_add(records);
        message
    }
}

fn templates() -> Vec<u8> {
    let mut templates = Vec::new();
    for families in Families::ALL {
        let fields = families.fields();
        templates.extend(families.template().to_be_bytes());
        templates.extend((fields.len() as u16).to_be_bytes());
        for (element, len) in fields {
            templates.extend(element.to_be_bytes());
            templates.extend(len.to_be_bytes());
        }
    }
    templates
}

fn record(connection: &Connection, families: Families) -> Vec<u8> {
    let millis = connection.time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let mut record = Vec::with_capacity(families.record_len());
    record.extend(millis.to_be_bytes());
    put_address(&mut record, connection.client.ip());
    put_address(&mut record, connection.destination.ip());
    record.extend(connection.client.port().to_be_bytes());
    record.extend(connection.destination.port().to_be_bytes());
    record.push(connection.protocol);
    put_address(&mut record, connection.backend_address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()));
    record
}

fn put_address(record: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => record.extend(v4.octets()),
        IpAddr::V6(v6) => record.extend(v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(client: &str, backend: &str) -> Connection {
        let client: std::net::SocketAddr = client.parse().unwrap();
        let destination = if client.is_ipv6() { "[2001:db8::10]:443" } else { "203.0.113.10:443" };
        Connection {
            time: UNIX_EPOCH + Duration::from_millis(1_769_860_800_250),
            event: "syn",
            protocol: 6,
            client,
            destination: destination.parse().unwrap(),
            vip: String::new(),
            pool: String::new(),
            backend: String::new(),
            backend_address: Some(backend.parse().unwrap()),
            slot: 0,
            by: "slot",
            phase: None,
            generation: 1,
            worker: 0,
        }
    }

    fn word(bytes: &[u8], at: usize) -> usize {
        usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
    }

    #[test]
    fn a_collector_that_knows_only_the_templates_reads_the_records() {
        let now = UNIX_EPOCH + Duration::from_secs(1_769_860_801);
        let mut exporter = Exporter::default();
        let many = (0..200).map(|port| connection(&format!("192.0.2.7:{}", 1_000 + port), "10.0.0.11"));
        let mut connections: Vec<_> = many.collect();
        connections.push(connection("[2001:db8::7]:9", "10.0.0.12"));
        connections.push(connection("192.0.2.8:9", "fd00::13"));
        connections.push(connection("[2001:db8::8]:9", "fd00::14"));
        let messages = exporter.messages(now, &connections);
        let (mut lengths, mut records) = (std::collections::HashMap::new(), 0);
        for message in &messages {
            assert!(message.len() <= LONGEST);
            assert_eq!((word(message, 0), word(message, 2)), (10, message.len()));
            assert_eq!(u32::from_be_bytes(message[8..12].try_into().unwrap()), records, "records before this message");
            let (set, mut rest) = (word(message, 16), &message[20..]);
            assert_eq!(word(message, 18), message.len() - 16);
            while set == 2 && !rest.is_empty() {
                let fields = word(rest, 2);
                let len: usize = (0..fields).map(|field| word(rest, 6 + 4 * field)).sum();
                lengths.insert(word(rest, 0), len);
                rest = &rest[4 + 4 * fields..];
            }
            if set != 2 {
                let len = lengths[&set];
                assert_eq!(rest.len() % len, 0);
                records += (rest.len() / len) as u32;
            }
        }
        assert_eq!((records, lengths.len()), (203, 4));
        let mixed = messages.iter().find(|message| word(message, 16) == 258).unwrap();
        assert_eq!(&mixed[28..32], [192, 0, 2, 8], "after eight bytes of time");
        assert_eq!(&mixed[41..], "fd00::13".parse::<std::net::Ipv6Addr>().unwrap().octets());
        let later = exporter.messages(now + Duration::from_secs(1), &connections[..1]);
        assert_eq!(later.len(), 1, "templates are known");
        assert_eq!(exporter.messages(now + TEMPLATES_EVERY, &connections[..1]).len(), 2, "and told again");
    }
}
