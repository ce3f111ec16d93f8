//! Every packet vector through `replay`: the same verdicts, and the same frames out, from a configuration.

use guideway_config::model::{self, Config};
use guideway_control::replay::{Frame, Options, Replay};
use guideway_dataplane::drop_reason::DropReason;
use guideway_dataplane::ids::PortId;
use guideway_dataplane::time::Nanos;
use guideway_dataplane::vip::ServicePort;
use guideway_vectors::context::{Context, Forward, PoolContext, PortContext, Protocol, TABLE_SIZE, VlanContext};
use guideway_vectors::{Expect, Sequence, Step, Vector};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// What only a device can provoke: `replay` takes every MAC as its own, and its links are up.
const NOT_IN_A_REPLAY: [DropReason; 2] = [DropReason::NotOurMac, DropReason::PortDown];

/// Where frames of a backend leave: the port, and the VLAN.
type Segment = (usize, Option<model::Vlan>);

fn vlan(context: VlanContext) -> model::Vlan {
    model::Vlan { service: context.service, id: context.id }
}

/// The own address on a segment, of a family, with its subnet; and the neighbors there by number.
fn host(segment: usize, number: u8, ipv6: bool) -> IpNet {
    if ipv6 {
        let address = Ipv6Addr::new(0xfd99, 0, 0, segment as u16, 0, 0, 0, number.into());
        IpNet::new(address.into(), 64).unwrap()
    } else {
        IpNet::new(Ipv4Addr::new(172, 16, segment as u8, number).into(), 24).unwrap()
    }
}

/// The interfaces, with the own addresses on the first one, and a route to every backend by a neighbor of its own.
fn network(context: &Context) -> (Vec<model::Interface>, Vec<model::Route>) {
    let untagged = |port: &PortContext| port.untagged.then_some(None);
    let segments = |(index, port): (usize, &PortContext)| -> Vec<Segment> {
        let vlans = port.vlans.iter().map(|context| Some(vlan(*context)));
        untagged(port).into_iter().chain(vlans).map(|vlan| (index, vlan)).collect()
    };
    let segments: Vec<Segment> = context.ports.iter().enumerate().flat_map(segments).collect();
    let mut interfaces: Vec<model::Interface> = (0..)
        .zip(&segments)
        .map(|(number, (port, vlan))| model::Interface {
            port: *port,
            vlan: *vlan,
            addresses: vec![host(number, 1, false), host(number, 1, true)],
            neighbors: Vec::new(),
        })
        .collect();
    interfaces[0].addresses.splice(0..0, context.own_addresses.iter().copied().map(IpNet::from));
    let mut routes = Vec::new();
    for (number, backend) in (2..).zip(context.pools.iter().flat_map(|pool| &pool.backends)) {
        let segment = (usize::from(backend.egress), backend.vlan.map(vlan));
        let place = segments.iter().position(|known| *known == segment).unwrap();
        let gateway = host(place, number, backend.address.is_ipv6()).addr();
        routes.push(model::Route { to: IpNet::from(backend.address), via: vec![gateway] });
        if let Some(mac) = backend.mac {
            interfaces[place].neighbors.push(model::Neighbor { address: gateway, mac });
        }
    }
    (interfaces, routes)
}

/// The MTU of a port; `None` if its backends have several.
fn mtu(context: &Context, port: usize) -> Option<u16> {
    let backends = context.pools.iter().flat_map(|pool| &pool.backends);
    let mtus: BTreeSet<u16> = backends.filter(|b| usize::from(b.egress) == port).map(|backend| backend.mtu).collect();
    (mtus.len() <= 1).then(|| mtus.first().copied().unwrap_or(1_500))
}

/// The configuration of a context; `None` if there is none: one MTU a port, one next hop a backend.
fn config(context: &Context) -> Option<Config> {
    let (interfaces, routes) = network(context);
    let ports = (0..context.ports.len()).map(|index| {
        let (name, device) = (format!("p{index}"), format!("net_null{index}"));
        Some(model::Port { name, device, mtu: mtu(context, index)?, workers: vec![0] })
    });
    let exceptions = context.ports.iter().enumerate().filter(|(_, port)| port.exception);
    let taps: Vec<_> = exceptions.map(|(index, _)| (index, format!("gw-p{index}"))).collect();
    let vips = context.vips.iter().map(|vip| model::Vip {
        address: IpNet::new(vip.address.0, vip.address.1).unwrap(),
        protocol: match vip.protocol {
            Protocol::Tcp => model::Protocol::Tcp,
            Protocol::Udp => model::Protocol::Udp,
            Protocol::Quic => model::Protocol::Quic,
        },
        port: match &vip.port {
            ServicePort::Exact(port) => model::PortMatch::Exact(*port),
            ServicePort::Range(range) => model::PortMatch::Range(*range.start(), *range.end()),
            ServicePort::Any => model::PortMatch::Any,
        },
        pool: context.pools.iter().position(|pool| pool.name == vip.pool).unwrap(),
        announce: model::Announce::None,
        affinity_window: vip.client_affinity.then_some(Duration::from_secs(900)),
        affinity: if vip.client_affinity { model::Affinity::Client } else { model::Affinity::None },
    });
    Some(Config {
        hash_key: context.hash_key,
        cores: model::Cores { control: 0, workers: vec![1], idle: model::Idle::Poll, power: model::Power::Off },
        extra_args: Vec::new(),
        socket: "unused".into(),
        listen: None,
        state_file: None,
        ports: ports.collect::<Option<_>>()?,
        interfaces,
        routes,
        pools: context.pools.iter().map(pool).collect::<Option<_>>()?,
        vips: vips.collect(),
        exception: (!taps.is_empty()).then_some(model::Exception { taps, rate: 20_000 }),
        audit: model::Audit::default(),
        table_memory: 1 << 30,
        pins: 1 << 10,
        arm_time: Duration::from_secs(3),
        sessions: 1 << 10,
        embryonic_sessions: 25,
        sessions_full: model::SessionsFull::Drop,
        connection_rate: 1_000,
    })
}

fn pool(context: &PoolContext) -> Option<model::Pool> {
    let first = context.backends.first();
    let encap_source = first.and_then(|backend| backend.encap_source);
    let one_source = context.backends.iter().all(|backend| backend.encap_source == encap_source);
    let one_hop = context.backends.iter().all(|backend| backend.hops.is_empty());
    let backends = context.backends.iter().map(|backend| model::Backend {
        name: backend.id.to_string(),
        address: backend.address,
        port: None,
        weight: backend.weight,
        priority: 0,
        server_id: (!backend.server_id.is_empty()).then(|| backend.server_id.clone().into()),
    });
    let quic_lb = context.quic_lb.iter().map(|lb| model::QuicLb {
        config_id: lb.config_id,
        server_id_len: lb.server_id_len,
        nonce_len: lb.nonce_len,
        key: lb.key,
    });
    (one_source && one_hop).then(|| model::Pool {
        name: context.name.clone(),
        forward: match context.forward {
            Forward::L2dsr => model::Forward::L2dsr,
            Forward::Ipip => model::Forward::Ipip,
            Forward::Gre => model::Forward::Gre,
            Forward::Gue => model::Forward::Gue,
        },
        health: Vec::new(),
        agent: None,
        slow_start: None,
        table_size: TABLE_SIZE,
        encap_source: encap_source.map(|(address, len)| IpNet::new(address, len).unwrap()),
        gue: model::Gue {
            port: context.gue_port.unwrap_or(6_080),
            variant: context.gue_variant,
            checksum: context.udp_checksum,
        },
        fragment_outer: context.fragment_outer,
        proxy: None,
        sources: Vec::new(),
        connect: model::Connect::default(),
        group_min: 0.5,
        tracking: model::Tracking::Transition,
        idle_timeout: model::IdleTimeout::default(),
        drain_timeout: None,
        on_down: model::OnDown::Move,
        quic_lb: quic_lb.collect(),
        panic_threshold: None,
        backends: backends.collect(),
    })
}

/// What becomes of a frame, without the Ethernet source: ports have other addresses in a replay.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Out(PortId, Vec<u8>),
    Control,
    Drop(String),
}

fn without_source(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[6..12].fill(0);
    frame
}

fn wanted(expect: &[Expect]) -> Vec<Outcome> {
    let outcome = |expect: &Expect| match expect {
        Expect::Forward { egress, frame } => Outcome::Out(*egress, without_source(frame)),
        Expect::Punt { .. } => Outcome::Control,
        Expect::Drop(reason) => Outcome::Drop(reason.label().to_owned()),
    };
    expect.iter().map(outcome).collect()
}

fn feed(replay: &mut Replay, at: Nanos, bytes: &[u8]) -> Vec<Outcome> {
    let mut out = Vec::new();
    let before = replay.summary().drops.clone();
    let frame = Frame { at, bytes: bytes.to_vec(), cut: false };
    let record = replay
        .feed(&frame, |port, frame| {
            out.push(Outcome::Out(port, without_source(frame)));
            Ok::<(), Infallible>(())
        })
        .unwrap();
    if record.verdict == "punt" || (record.verdict == "answer" && record.vip.is_none()) {
        return vec![Outcome::Control];
    }
    for (reason, count) in &replay.summary().drops {
        for _ in before.get(reason).copied().unwrap_or(0)..*count {
            out.push(Outcome::Drop(reason.clone()));
        }
    }
    out
}

fn run(config: &Arc<Config>, steps: &[Step]) -> Vec<(Vec<Outcome>, Vec<Outcome>)> {
    let port = Some(format!("p{}", steps[0].ingress.0));
    let mut replay = Replay::new(config, &Options { port, ..Options::default() }).unwrap();
    let time = |step: &Step| Nanos(1_000_000_000) + Duration::from_millis(step.at);
    let with_frame = steps.iter().filter_map(|step| Some((step, step.frame.as_ref()?)));
    with_frame.map(|(step, frame)| (feed(&mut replay, time(step), frame), wanted(&step.expect))).collect()
}

fn alone(vector: Vector) -> Sequence {
    let Vector { topic, name, context, ingress, frame, expect } = vector;
    let steps = vec![Step { at: 0, ingress, frame: Some(frame), together: false, expect: vec![expect] }];
    Sequence { topic, name, context, steps }
}

#[test]
fn every_vector_comes_out_of_a_replay_as_it_should() {
    let vectors = guideway_vectors::load().unwrap().into_iter().map(alone);
    let all: Vec<Sequence> = vectors.chain(guideway_vectors::load_sequences().unwrap()).collect();
    let mut configs = BTreeMap::new();
    let (mut ran, mut failures) = (0, String::new());
    for Sequence { topic, name, context, steps } in &all {
        let config = configs.entry(topic.clone()).or_insert_with(|| config(context).map(Arc::new));
        let expected = || steps.iter().flat_map(|step| &step.expect);
        let outside = expected().any(|expect| match expect {
            Expect::Drop(reason) => NOT_IN_A_REPLAY.contains(reason),
            _ => false,
        });
        // A replay has one port where frames come in, and time goes on with frames only.
        let one_way =
            steps.iter().all(|step| step.ingress == steps[0].ingress && step.frame.is_some() && !step.together);
        let (Some(config), false, true) = (config, outside, one_way) else { continue };
        ran += 1;
        for (number, (found, wanted)) in run(config, steps).into_iter().enumerate() {
            if found != wanted {
                let _ =
                    writeln!(failures, "{topic}/{name}, step {number}\n  found {found:02x?}\n  wanted {wanted:02x?}");
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    let none: Vec<_> = configs.iter().filter(|(_, config)| config.is_none()).map(|(topic, _)| topic).collect();
    assert!(ran * 10 > all.len() * 7, "{ran} of {} ran; no configuration says {none:?}", all.len());
}
