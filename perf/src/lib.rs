//! Benchmarks of Guideway: the worker loop on memory ports and on DPDK devices.
