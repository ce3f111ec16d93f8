//! How packets are changed for a backend: the configuration's words as the dataplane's templates.

use crate::topology::{Hop, link_of};
use guideway_config::model::{self, Config, Forward, ProxyTlvs, ProxyVersion};
use guideway_dataplane::ids::{LinkId, PortId};
use guideway_dataplane::nat::{Nat, Retry};
use guideway_dataplane::proxy::Style;
use guideway_dataplane::rewrite::{Encapsulation, Gue, GueVariant, Rewrite, Source, Tunnel};
use guideway_dataplane::session::Endpoint;
use guideway_dataplane::snapshot::{LinkState, PortState, VlanKey};
use guideway_dataplane::syn_proxy::SynProxy;
use guideway_dataplane::vip::address_bits;
use guideway_dataplane::wire::vlan::Tags;
use ipnet::IpNet;
use std::net::IpAddr;

/// How packets are changed for a backend that `hop` leads to.
///
/// # Errors
///
/// The outer source, if it is of another family than the backend.
pub(crate) fn rewrite(pool: &model::Pool, backend: IpAddr, hop: &Hop) -> Result<Rewrite, IpAddr> {
    let encapsulation = match pool.forward {
        Forward::L2dsr => return Ok(Rewrite::L2dsr),
        Forward::Ipip => Encapsulation::Ipip,
        Forward::Gre => Encapsulation::Gre,
        Forward::Gue => Encapsulation::Gue(gue(pool.gue)),
        Forward::Nat | Forward::Fullnat => return Ok(Rewrite::Nat),
    };
    let source = pool.encap_source.unwrap_or_else(|| IpNet::from(hop.source));
    let tunnel = match (source, backend) {
        (IpNet::V4(net), IpAddr::V4(to)) => {
            Tunnel::v4(Source::prefix_v4(net.addr(), net.prefix_len()), to, encapsulation)
        }
        (IpNet::V6(net), IpAddr::V6(to)) => {
            Tunnel::v6(Source::prefix_v6(net.addr(), net.prefix_len()), to, encapsulation)
        }
        (source, _) => return Err(source.addr()),
    };
    Ok(tunnel.fragment_outer(pool.fragment_outer).into())
}

/// How addresses are rewritten for a backend that `hop` leads to, at each of `workers`.
pub(crate) fn nat(pool: &model::Pool, backend: &model::Backend, hop: &Hop, workers: u32) -> Nat {
    let is_v4 = backend.address.is_ipv4();
    let sources = (pool.forward == Forward::Fullnat).then(|| {
        let own = [hop.source];
        let all = if pool.sources.is_empty() { &own[..] } else { &pool.sources };
        all.iter().filter(|source| source.is_ipv4() == is_v4).copied().map(address_bits).collect()
    });
    Nat {
        backend: Endpoint { address: address_bits(backend.address), port: backend.port.unwrap_or(0) },
        sources,
        proxy: pool.proxy.map(style),
        first_datagram: pool.proxy.is_some_and(|proxy| proxy.first_datagram),
        retry: Retry { after: pool.connect.timeout, times: pool.connect.retries },
        syn_proxy: match pool.connect.syn_proxy {
            model::SynProxy::Off => SynProxy::Off,
            model::SynProxy::On => SynProxy::On,
            model::SynProxy::Auto { rate } => SynProxy::Auto { rate: rate.div_ceil(workers.max(1)) },
        },
        idle_tcp: pool.idle_timeout.tcp,
        idle_udp: pool.idle_timeout.udp,
    }
}

const fn style(proxy: model::Proxy) -> Style {
    let ProxyTlvs { crc32c, unique_id, vip } = proxy.tlvs;
    match proxy.version {
        ProxyVersion::V1 => Style::V1,
        ProxyVersion::V2 => Style::V2 { crc32c, unique_id, vip },
    }
}

fn gue(gue: model::Gue) -> Gue {
    let variant = if gue.variant == 1 { GueVariant::Direct } else { GueVariant::Header };
    Gue { port: gue.port, variant, checksum: gue.checksum }
}

/// What the configuration adds to a port that was attached: its VLANs, and whether untagged frames are for it. They are
/// unless all of its interfaces are VLANs.
pub(crate) fn port(config: &Config, index: usize, attached: &PortState) -> PortState {
    let here = || config.interfaces.iter().enumerate().filter(|(_, interface)| interface.port == index);
    let mut vlans: Vec<(VlanKey, LinkId)> = here()
        .filter_map(|(number, interface)| {
            let vlan = interface.vlan?;
            Some((VlanKey::new(vlan.service, vlan.id), link_of(config, number)))
        })
        .collect();
    vlans.sort_unstable();
    let untagged = here().next().is_none() || here().any(|(_, interface)| interface.vlan.is_none());
    let exception = config.exception.as_ref().is_some_and(|path| path.taps.iter().any(|(port, _)| *port == index));
    PortState { untagged, exception, vlans, ..attached.clone() }
}

/// Every link with the tags of its frames, by [`LinkId`].
pub(crate) fn links(config: &Config) -> Box<[LinkState]> {
    let link = |(port, vlan): (PortId, _)| LinkState { port, tags: tags(vlan), mtu: config.ports[port.index()].mtu };
    crate::topology::links(config).into_iter().map(link).collect()
}

fn tags(vlan: Option<model::Vlan>) -> Tags {
    match vlan {
        None => Tags::NONE,
        Some(model::Vlan { service: None, id }) => Tags::customer(id),
        Some(model::Vlan { service: Some(service), id }) => Tags::service(service, id),
    }
}
