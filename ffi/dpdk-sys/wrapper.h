/* What bindgen reads. rte_config.h and the instruction set come from pkg-config's flags. */
#define _GNU_SOURCE
#include <stdio.h>
#include <rte_config.h>
#include <rte_bus.h>
#include <rte_cpuflags.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_power_intrinsics.h>
#include <rte_version.h>

#include "shim.h"
