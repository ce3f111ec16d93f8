/* A burst never comes through here: it goes straight from Rust through rte_eth_fp_ops. */
#include "shim.h"

#include <dlfcn.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_version.h>
#include <stdarg.h>
#include <stdio.h>

int guideway_rte_errno(void) { return rte_errno; }

unsigned int guideway_lcore_id(void) { return rte_lcore_id(); }

struct rte_mbuf *guideway_pktmbuf_alloc(struct rte_mempool *pool) { return rte_pktmbuf_alloc(pool); }

void guideway_mbuf_put(struct rte_mbuf *mbuf) { rte_mempool_put(mbuf->pool, mbuf); }

int guideway_link(uint16_t port, uint32_t *speed)
{
    struct rte_eth_link link = {0};
    int result = rte_eth_link_get_nowait(port, &link);

    if (result < 0)
        return result;
    *speed = link.link_speed;
    return link.link_status == RTE_ETH_LINK_UP;
}

int guideway_is_toeplitz(const struct rte_eth_rss_conf *conf)
{
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
    return conf->algorithm == RTE_ETH_HASH_FUNCTION_DEFAULT || conf->algorithm == RTE_ETH_HASH_FUNCTION_TOEPLITZ;
#else
    (void)conf;
    return 1;
#endif
}

/* libbpf's and libxdp's callback; level 0 is a warning in both. */
static int print_to_log(int level, const char *format, va_list arguments)
{
    char line[512];

    vsnprintf(line, sizeof(line), format, arguments);
    return rte_log(level == 0 ? RTE_LOG_WARNING : RTE_LOG_DEBUG, RTE_LOGTYPE_USER1, "%s", line);
}

static void set_print(const char *library, const char *function)
{
    typedef int (*print_function)(int, const char *, va_list);
    void *handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
    print_function (*set)(print_function) = NULL;

    if (handle == NULL)
        return;
    *(void **)&set = dlsym(handle, function);
    if (set != NULL)
        set(print_to_log);
}

void guideway_capture_bpf_log(void)
{
    set_print("libbpf.so.0", "libbpf_set_print");
    set_print("libbpf.so.1", "libbpf_set_print");
    set_print("libxdp.so.1", "libxdp_set_print");
}
