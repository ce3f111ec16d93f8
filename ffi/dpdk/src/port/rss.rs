//! How a started device spreads flows over its receive queues: read back, since drivers have keys and tables of their own.

use guideway_dataplane::hash::KEY_BYTES;
use guideway_dataplane::rss::HashesPorts;
use std::mem::MaybeUninit;

/// Bytes of the longest key of any driver.
const LONGEST_KEY: u8 = 128;
/// Entries of a group of DPDK's table.
const GROUP: usize = dpdk_sys::RTE_ETH_RETA_GROUP_SIZE as usize;

/// Receive-side scaling of a device: the Toeplitz hash of a packet, by its lower bits, chooses an entry of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RssSettings {
    /// The hash's key. Some drivers have longer ones, whose rest is for other packets.
    pub key: [u8; KEY_BYTES],
    /// The receive queue of each entry.
    pub queues: Vec<u16>,
    /// Of which packets the ports are hashed beside the addresses.
    pub hashes_ports: HashesPorts,
}

/// Reads them of a started port; `None`: its driver does not tell, or it has another hash.
pub(super) fn read(port: u16) -> Option<RssSettings> {
    let (key, types) = read_key(port)?;
    let hashes = |kind| types & kind != 0;
    let hashes_ports = HashesPorts {
        tcp_v4: hashes(dpdk_sys::GUIDEWAY_RSS_TCP_V4),
        udp_v4: hashes(dpdk_sys::GUIDEWAY_RSS_UDP_V4),
        tcp_v6: hashes(dpdk_sys::GUIDEWAY_RSS_TCP_V6),
        udp_v6: hashes(dpdk_sys::GUIDEWAY_RSS_UDP_V6),
    };
    Some(RssSettings { key, queues: read_queues(port)?, hashes_ports })
}

/// The key, and of which packets what is hashed.
fn read_key(port: u16) -> Option<([u8; KEY_BYTES], u64)> {
    let mut bytes = [0; LONGEST_KEY as usize];
    let mut conf = MaybeUninit::<dpdk_sys::rte_eth_rss_conf>::zeroed();
    // SAFETY: plain data, all zeros is a value; the driver writes at most the named length of the key.
    let conf = unsafe {
        let conf = conf.assume_init_mut();
        conf.rss_key = bytes.as_mut_ptr();
        conf.rss_key_len = LONGEST_KEY;
        if dpdk_sys::rte_eth_dev_rss_hash_conf_get(port, conf) != 0 || dpdk_sys::guideway_is_toeplitz(conf) != 1 {
            return None;
        }
        conf
    };
    // A driver without a key of its own leaves it as it was.
    let key = *bytes.first_chunk()?;
    (usize::from(conf.rss_key_len) >= KEY_BYTES && key != [0; KEY_BYTES]).then_some((key, conf.rss_hf))
}

fn read_queues(port: u16) -> Option<Vec<u16>> {
    let mut info = MaybeUninit::<dpdk_sys::rte_eth_dev_info>::zeroed();
    // SAFETY: plain data, filled on success.
    let entries = unsafe {
        if dpdk_sys::rte_eth_dev_info_get(port, info.as_mut_ptr()) != 0 {
            return None;
        }
        info.assume_init().reta_size
    };
    if entries == 0 {
        return None;
    }
    let wanted = dpdk_sys::rte_eth_rss_reta_entry64 { mask: u64::MAX, reta: [0; GROUP] };
    let mut groups = vec![wanted; usize::from(entries).div_ceil(GROUP)];
    // SAFETY: as many groups as that number of entries takes.
    if unsafe { dpdk_sys::rte_eth_dev_rss_reta_query(port, groups.as_mut_ptr(), entries) } != 0 {
        return None;
    }
    Some(groups.iter().flat_map(|group| group.reta).take(entries.into()).collect())
}
