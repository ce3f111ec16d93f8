//! Whether the probes of a pool have a port, a source and a way back.

use crate::backends::BackendDraft;
use crate::cross::{Around, family};
use crate::health::{FirstVip, HealthDraft};
use crate::model::{Forward, Via};
use crate::pools::PoolDraft;
use crate::reader::Located;
use crate::report::Report;
use crate::vips::VipDraft;
use std::net::IpAddr;

impl Around<'_> {
    /// Checks the probes of a pool whose first VIP is `vip`.
    pub(crate) fn probes(&self, pool: &PoolDraft, health: &HealthDraft, vip: &VipDraft, report: &mut Report) {
        if let (Some(protocol), Some(port)) = (vip.protocol, vip.port) {
            health.check_ports(&FirstVip { at: vip.at, protocol, port: port.value }, report);
        }
        let Some(address) = vip.address else { return };
        let address = address.map(|block| block.addr());
        // What rewrites addresses is asked at the backend's own.
        let is_nat = pool.forward.is_some_and(Forward::is_nat);
        let mut lacks_source = false;
        for check in health.checks.iter().flatten() {
            match (check.via, check.probe_source) {
                (Some(Via::Dataplane), Some(Some(source))) if is_nat => {
                    self.no_vip(source, report);
                    self.source_of_backends(pool, source, report);
                }
                (Some(Via::Dataplane), Some(Some(source))) => self.probe_source(source, address, report),
                (Some(Via::Dataplane), Some(None)) => lacks_source = true,
                (Some(Via::Kernel), Some(Some(source))) => self.source_of_backends(pool, source, report),
                _ => {}
            }
        }
        if lacks_source {
            self.own_source(pool, address, report);
        }
    }

    /// Sources of questions to the backends' own addresses. Which addresses the kernel has, nobody knows here.
    fn source_of_backends(&self, pool: &PoolDraft, source: Located<IpAddr>, report: &mut Report) {
        let mut addresses = pool.backends.iter().filter_map(|backend| backend.address);
        if let Some(other) = addresses.find(|address| address.value.is_ipv4() != source.value.is_ipv4()) {
            report
                .error(
                    source.at,
                    format!("`probe_source` {} is of another family than the backend {}", source.value, other.value),
                )
                .related(other.at, "backend");
        }
    }

    fn probe_source(&self, source: Located<IpAddr>, vip: Located<IpAddr>, report: &mut Report) {
        if self.no_vip(source, report) {
            return;
        }
        if source.value.is_ipv4() != vip.value.is_ipv4() {
            report
                .error(
                    source.at,
                    format!("`probe_source` {} is of another family than the VIP {}", source.value, vip.value),
                )
                .related(vip.at, "VIP");
        } else if !self.own.contains_key(&source.value) && self.ways.addresses_complete {
            report
                .warning(source.at, format!("`probe_source` {} is not an own address", source.value))
                .help("answers to probes must reach this machine");
        }
    }

    /// Whether a source is a VIP, which is reported.
    fn no_vip(&self, source: Located<IpAddr>, report: &mut Report) -> bool {
        let Some((what, at)) = self.vips.holds(source.value) else { return false };
        report
            .error(source.at, format!("`probe_source` {} is {what}", source.value))
            .related(at, "defined")
            .help("answers to a VIP go to backends: use an own address");
        true
    }

    /// Probes to the VIP leave by the backend's interface, with an own address of the VIP's family as source.
    fn own_source(&self, pool: &PoolDraft, vip: Located<IpAddr>, report: &mut Report) {
        if !self.ways.complete {
            return;
        }
        let lacks_source = |backend: &&BackendDraft| {
            let mut interfaces = backend.address.into_iter().flat_map(|address| self.ways.interfaces(address.value));
            interfaces.any(|interface| {
                let own = &self.draft.interfaces[interface].addresses;
                !own.iter().any(|own| own.value.addr().is_ipv4() == vip.value.is_ipv4())
            })
        };
        // An l2dsr backend of the VIP's family lies in a subnet of that family, and others are reported as such; where
        // addresses are rewritten, the next hop does.
        if !pool.forward.is_some_and(Forward::is_tunnel) {
            return;
        }
        let Some(backend) = pool.backends.iter().find(lacks_source).and_then(|backend| backend.address) else { return };
        let family = family(vip.value);
        report
            .error(
                vip.at,
                format!("probes to this VIP have no {family} source on the way to backend {}", backend.value),
            )
            .related(backend.at, "backend")
            .help(format!(
                "give its [[interface]] an {family} address, or set `probe_source` or kind = \"none\" in health"
            ));
    }
}
