/* Inline functions and thread-local variables of DPDK that have no exported symbol, for cold paths. */
#ifndef GUIDEWAY_SHIM_H
#define GUIDEWAY_SHIM_H

#include <rte_mbuf.h>

/* The calling thread's rte_errno. */
int guideway_rte_errno(void);

/* The calling thread's lcore, LCORE_ID_ANY if it is not registered. */
unsigned int guideway_lcore_id(void);

/* A fresh mbuf with the usual headroom, NULL if the pool is empty. */
struct rte_mbuf *guideway_pktmbuf_alloc(struct rte_mempool *pool);

/* n direct, unchained mbufs of that pool with one owner, back to the lcore's cache or to the pool. */
void guideway_mbuf_raw_free_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int n);

#endif
