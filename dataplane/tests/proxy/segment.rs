//! Segments as tests write and read them.

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use guideway_dataplane::wire::tcp::{ACK, FIN, PSH, RST, SYN};

/// Ports of client and service.
pub const PORTS: [u16; 2] = [40_000, 80];

/// What a test says of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    pub sequence: u32,
    pub acknowledgement: u32,
    pub flags: u8,
    pub window: u16,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Segment {
    pub fn new(flags: u8, sequence: u32, acknowledgement: u32) -> Self {
        Self { sequence, acknowledgement, flags, window: 1_000, ..Self::default() }
    }

    pub fn payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    pub fn window(self, window: u16) -> Self {
        Self { window, ..self }
    }

    /// Options; they are padded to whole words by NOPs in front.
    pub fn options(self, options: &[u8]) -> Self {
        let mut padded = vec![1; options.len().next_multiple_of(4) - options.len()];
        padded.extend_from_slice(options);
        Self { options: padded, ..self }
    }

    /// The frame; from the client, or from the service.
    pub fn frame(&self, of_client: bool) -> Vec<u8> {
        let (client, service) = ([192, 0, 2, 7], [203, 0, 113, 10]);
        let (from, to) = if of_client { (client, service) } else { (service, client) };
        let [source, destination] = if of_client { PORTS } else { [PORTS[1], PORTS[0]] };
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]).ipv4(from, to, 64);
        let mut tcp = builder.tcp(source, destination, self.sequence, self.window);
        if self.flags & ACK != 0 {
            tcp = tcp.ack(self.acknowledgement);
        }
        for (flag, set) in [
            (SYN, etherparse::PacketBuilderStep::syn as fn(_) -> _),
            (FIN, etherparse::PacketBuilderStep::fin),
            (RST, etherparse::PacketBuilderStep::rst),
            (PSH, etherparse::PacketBuilderStep::psh),
        ] {
            if self.flags & flag != 0 {
                tcp = set(tcp);
            }
        }
        let tcp = tcp.options_raw(&self.options).expect("options");
        let mut frame = Vec::new();
        tcp.write(&mut frame, &self.payload).expect("a frame");
        frame
    }

    /// What a frame says. Its checksums must be right.
    pub fn of(frame: &[u8]) -> Self {
        let packet = SlicedPacket::from_ethernet(frame).expect("a packet");
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP") };
        let Some(etherparse::NetSlice::Ipv4(ip)) = packet.net else { panic!("no IPv4") };
        let header = ip.header();
        assert_eq!(header.to_header().calc_header_checksum(), header.header_checksum(), "the IP checksum");
        let right = tcp.calc_checksum_ipv4(header.source(), header.destination()).expect("a checksum");
        assert_eq!(tcp.checksum(), right, "the TCP checksum");
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        Self {
            sequence: tcp.sequence_number(),
            acknowledgement: tcp.acknowledgment_number(),
            flags: flag(tcp.fin(), FIN)
                | flag(tcp.syn(), SYN)
                | flag(tcp.rst(), RST)
                | flag(tcp.psh(), PSH)
                | flag(tcp.ack(), ACK),
            window: tcp.window_size(),
            options: tcp.options().to_vec(),
            payload: tcp.payload().to_vec(),
        }
    }
}
