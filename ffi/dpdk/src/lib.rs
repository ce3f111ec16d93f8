//! A safe wrapper over DPDK: Eal, Mempool, Mbuf, Port, queues, lcores.
