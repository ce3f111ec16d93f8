/* What DPDK gives as inline functions, thread-local variables or macros that libclang cannot evaluate. Cold paths. */
#ifndef GUIDEWAY_SHIM_H
#define GUIDEWAY_SHIM_H

#include <rte_ethdev.h>
#include <rte_mbuf.h>

/* The calling thread's rte_errno. */
int guideway_rte_errno(void);

/* The calling thread's lcore, LCORE_ID_ANY if it is not registered. */
unsigned int guideway_lcore_id(void);

/* A fresh mbuf with the usual headroom, NULL if the pool is empty. */
struct rte_mbuf *guideway_pktmbuf_alloc(struct rte_mempool *pool);

/* One direct, unchained mbuf with one owner, back to the lcore's cache or to its pool: a single dropped packet. */
void guideway_mbuf_put(struct rte_mbuf *mbuf);

/* Link state without waiting: 1 up, 0 down, negative errno; the speed in Mbit/s. (The type changes in 24.11.) */
int guideway_link(uint16_t port, uint32_t *speed);

/* Whether the hash is Toeplitz' or the driver's default, which is: 1, else 0. (Before 23.11 there is no field to ask.) */
int guideway_is_toeplitz(const struct rte_eth_rss_conf *conf);

/* Sends what libbpf and libxdp print to DPDK's log, if a driver has loaded them. */
void guideway_capture_bpf_log(void);

static const uint64_t GUIDEWAY_RX_CHECKSUM =
    RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t GUIDEWAY_RX_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t GUIDEWAY_TX_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
static const uint64_t GUIDEWAY_RSS_IP_TCP_UDP = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
static const uint64_t GUIDEWAY_RSS_TCP_V4 = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
static const uint64_t GUIDEWAY_RSS_UDP_V4 = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
static const uint64_t GUIDEWAY_RSS_TCP_V6 = RTE_ETH_RSS_NONFRAG_IPV6_TCP;
static const uint64_t GUIDEWAY_RSS_UDP_V6 = RTE_ETH_RSS_NONFRAG_IPV6_UDP;
static const uint64_t GUIDEWAY_MBUF_INDIRECT_OR_EXTERNAL = RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
static const uint64_t GUIDEWAY_MBUF_IP_CHECKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t GUIDEWAY_MBUF_IP_CHECKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t GUIDEWAY_MBUF_L4_CHECKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t GUIDEWAY_MBUF_L4_CHECKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;

#endif
