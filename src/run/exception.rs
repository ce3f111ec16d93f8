//! The TAP devices of the exception path.

use crate::Failure;
use guideway_config::model::Config;
use guideway_control::exception::{Exchange, KernelPath, PortTap, TapDevice, path};
use guideway_dataplane::ids::PortId;
use guideway_dataplane::snapshot::PortState;
use tracing::{info, warn};

/// Creates the TAP device of each port that has one, and both ends of the way over them.
pub(super) fn open(config: &Config, ports: &[PortState]) -> Result<(KernelPath, Option<Exchange>), Failure> {
    let Some(exception) = &config.exception else { return Ok((KernelPath::default(), None)) };
    let mut taps = Vec::with_capacity(exception.taps.len());
    for (index, device) in &exception.taps {
        let port = &config.ports[*index];
        let tap = TapDevice::open(device, ports[*index].mac, port.mtu)?;
        info!(port = %port.name, %device, "exception path; give the device the port's addresses");
        if port.device.starts_with("net_af_packet") {
            warn!(
                port = %port.name,
                "with af_packet the kernel also receives by the interface itself, so that it gets packets twice: \
                 set net.ipv4.conf.IFACE.rp_filter = 1 and net.ipv6.conf.IFACE.disable_ipv6 = 1 there"
            );
        }
        taps.push(PortTap { port: PortId(*index as u16), name: device.clone(), tap: Box::new(tap) });
    }
    let (kernel, exchange) = path(taps, exception.rate);
    Ok((kernel, Some(exchange)))
}
