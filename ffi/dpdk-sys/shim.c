/* A burst never comes through here: it goes straight from Rust through rte_eth_fp_ops. */
#include "shim.h"

#include <rte_errno.h>
#include <rte_lcore.h>

int guideway_rte_errno(void) { return rte_errno; }

unsigned int guideway_lcore_id(void) { return rte_lcore_id(); }

struct rte_mbuf *guideway_pktmbuf_alloc(struct rte_mempool *pool) { return rte_pktmbuf_alloc(pool); }

void guideway_mbuf_raw_free_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int n)
{
    rte_mempool_put_bulk(pool, (void **)mbufs, n);
}

int guideway_link(uint16_t port, uint32_t *speed)
{
    struct rte_eth_link link = {0};
    int result = rte_eth_link_get_nowait(port, &link);

    if (result < 0)
        return result;
    *speed = link.link_speed;
    return link.link_status == RTE_ETH_LINK_UP;
}
