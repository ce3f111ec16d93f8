//! Finds the installed libdpdk, generates bindings for the part of it that is used, and proves that the C compiler,
//! libclang and rustc agree on the layout of every structure whose fields Rust reads.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Debian package that holds headers, libraries and the pkg-config file.
const PACKAGE: &str = "libdpdk-dev";
/// The oldest release accepted.
const OLDEST: (u32, u32) = (22, 11);
/// The newest release accepted: later ones may change the structures of the fast path.
const NEWEST: (u32, u32) = (24, 11);

/// Libraries whose symbols are called. Drivers are plugins that EAL loads at run time.
const LIBRARIES: [&str; 4] = ["rte_ethdev", "rte_mbuf", "rte_mempool", "rte_eal"];

const FUNCTIONS: [&str; 66] = [
    "fopencookie",
    "fclose",
    "rte_cpu_get_intrinsics_support",
    "rte_dev_probe",
    "rte_dev_remove",
    "rte_eal_cleanup",
    "rte_eal_get_runtime_dir",
    "rte_eal_init",
    "rte_eth_allmulticast_disable",
    "rte_eth_allmulticast_enable",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_close",
    "rte_eth_dev_configure",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_is_valid_port",
    "rte_eth_dev_rx_intr_ctl_q_get_fd",
    "rte_eth_dev_rx_intr_disable",
    "rte_eth_dev_rx_intr_enable",
    "rte_eth_dev_rss_hash_conf_get",
    "rte_eth_dev_rss_reta_query",
    "rte_eth_dev_rss_reta_update",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "guideway_link",
    "rte_eth_get_monitor_addr",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_disable",
    "rte_eth_promiscuous_enable",
    "rte_eth_promiscuous_get",
    "rte_eth_rx_queue_setup",
    "rte_eth_stats_get",
    "rte_eth_stats_reset",
    "rte_eth_tx_queue_setup",
    "rte_get_main_lcore",
    "rte_get_tsc_hz",
    "rte_log_set_global_level",
    "rte_log_set_level_pattern",
    "rte_mempool_avail_count",
    "rte_mempool_create",
    "rte_mempool_free",
    "rte_mempool_in_use_count",
    "rte_openlog_stream",
    "rte_pktmbuf_free_bulk",
    "rte_pktmbuf_init",
    "rte_pktmbuf_pool_create",
    "rte_pktmbuf_pool_init",
    "rte_power_monitor",
    "rte_power_monitor_multi",
    "rte_power_pause",
    "rte_socket_count",
    "rte_socket_id",
    "rte_socket_id_by_idx",
    "rte_strerror",
    "rte_thread_register",
    "rte_thread_unregister",
    "rte_version",
    "guideway_capture_bpf_log",
    "guideway_is_toeplitz",
    "guideway_lcore_id",
    "guideway_mbuf_put",
    "guideway_pktmbuf_alloc",
    "guideway_rte_errno",
];

const VARIABLES: [&str; 11] = [
    "GUIDEWAY_.*",
    "rte_eth_fp_ops",
    "LCORE_ID_ANY",
    "RTE_ETH_RETA_GROUP_SIZE",
    "RTE_MAX_ETHPORTS",
    "RTE_MAX_LCORE",
    "RTE_MBUF_MAX_NB_SEGS",
    "RTE_MEMPOOL_CACHE_MAX_SIZE",
    "RTE_MEMPOOL_F_NO_IOVA_CONTIG",
    "RTE_PKTMBUF_HEADROOM",
    "SOCKET_ID_ANY",
];

/// Types that bindgen cannot lay out (packed and aligned at once) or that are never looked into.
const OPAQUE: [&str; 10] = [
    "_IO_FILE",
    "rte_arp_.*",
    "rte_device",
    "rte_ether_(hdr|vlan_hdr)",
    "rte_gtp_.*",
    "rte_l2tpv2.*",
    "rte_mbuf_ext_shared_info",
    "rte_memzone",
    "rte_vxlan.*",
    "rte_eth_(vmdq|dcb)_.*",
];

/// Fields that Rust reads or writes in structures that DPDK also touches: checked by the C compiler.
const LAYOUT: [(&str, &[&str]); 5] = [
    (
        "rte_mbuf",
        &["buf_addr", "data_off", "refcnt", "nb_segs", "ol_flags", "pkt_len", "data_len", "buf_len", "pool", "next"],
    ),
    ("rte_eth_fp_ops", &["rx_pkt_burst", "rxq", "tx_pkt_burst", "txq"]),
    ("rte_ethdev_qdata", &["data", "clbk"]),
    ("rte_mempool", &["size", "cache_size", "elt_size", "populated_size", "nb_mem_chunks"]),
    ("rte_pktmbuf_pool_private", &["mbuf_data_room_size", "mbuf_priv_size", "flags"]),
];

fn main() {
    for file in ["build.rs", "wrapper.h", "shim.c", "shim.h"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let dpdk = find_dpdk();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let bindings = generate(&dpdk.cflags, &out);
    let probe = out.join("layout.c");
    std::fs::write(&probe, layout_probe(&bindings)).expect("OUT_DIR is writable");
    compile(&dpdk.cflags, &probe);
    for dir in &dpdk.link_dirs {
        println!("cargo::rustc-link-search=native={}", dir.display());
    }
    for library in LIBRARIES {
        println!("cargo::rustc-link-lib=dylib={library}");
    }
    println!("cargo::metadata=version={}", dpdk.version);
}

struct Dpdk {
    version: String,
    cflags: Vec<String>,
    link_dirs: Vec<PathBuf>,
}

/// Asks pkg-config, and stops the build with a message that names the package if the answer is no use.
fn find_dpdk() -> Dpdk {
    let library = pkg_config::Config::new().cargo_metadata(false).probe("libdpdk").unwrap_or_else(|error| {
        fail(&format!("libdpdk was not found by pkg-config: {error}. Install it: apt install {PACKAGE}"))
    });
    if !accepted(&library.version) {
        let (a, b, c, d) = (OLDEST.0, OLDEST.1, NEWEST.0, NEWEST.1);
        fail(&format!(
            "libdpdk {} is installed, but {a}.{b} to {c}.{d} is needed. Install such a release of {PACKAGE}, or point \
             PKG_CONFIG_PATH at one",
            library.version
        ));
    }
    let mut cflags: Vec<String> =
        library.include_paths.iter().map(|path| format!("-I{}", path.to_string_lossy())).collect();
    // The pkg-config crate keeps include paths and defines only; `-include rte_config.h` and `-march` are needed too.
    cflags.extend(other_cflags());
    Dpdk { version: library.version, cflags, link_dirs: library.link_paths }
}

fn accepted(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let release = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    (OLDEST..=NEWEST).contains(&release)
}

fn other_cflags() -> Vec<String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = Command::new(&program).args(["--cflags-only-other", "libdpdk"]).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
        }
        Ok(output) => {
            fail(&format!("{program} --cflags-only-other libdpdk: {}", String::from_utf8_lossy(&output.stderr)))
        }
        Err(error) => fail(&format!("{program} does not run: {error}. Install it: apt install pkg-config")),
    }
}

/// Writes `bindings.rs` and returns its text.
fn generate(cflags: &[String], out: &Path) -> String {
    let exact = |names: &[&str]| format!("({})", names.join("|"));
    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(cflags)
        .allowlist_function(exact(&FUNCTIONS))
        .allowlist_type("rte_pktmbuf_pool_private")
        .allowlist_var(exact(&VARIABLES))
        .allowlist_var("RTE_LOG_(ERR|WARNING|NOTICE|INFO|DEBUG)")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .generate_comments(false)
        .layout_tests(true)
        .derive_debug(false)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()));
    for name in OPAQUE {
        builder = builder.opaque_type(name);
    }
    let bindings = builder.generate().unwrap_or_else(|error| fail(&format!("bindgen over libdpdk's headers: {error}")));
    bindings.write_to_file(out.join("bindings.rs")).expect("OUT_DIR is writable");
    bindings.to_string()
}

/// A C file that asserts, for every field of [`LAYOUT`], the offset that bindgen found and rustc checks.
fn layout_probe(bindings: &str) -> String {
    let mut c = String::from("#include \"wrapper.h\"\n#include <stddef.h>\n");
    for (name, fields) in LAYOUT {
        let size = layout_number(bindings, &format!("\"Size of {name}\""));
        writeln!(c, "_Static_assert(sizeof(struct {name}) == {size}, \"size of {name}\");").expect("a String grows");
        for field in fields {
            let offset = layout_number(bindings, &format!("\"Offset of field: {name}::{field}\""));
            writeln!(c, "_Static_assert(offsetof(struct {name}, {field}) == {offset}, \"{name}.{field}\");")
                .expect("a String grows");
        }
    }
    c
}

/// The number in bindgen's layout test `["Offset of field: S::f"][offset_of!(S, f) - 16usize]`.
fn layout_number(bindings: &str, key: &str) -> usize {
    let number = bindings.split_once(key).and_then(|(_, rest)| {
        let (test, _) = rest.split_once("usize]")?;
        test.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    });
    number.unwrap_or_else(|| fail(&format!("bindgen gave no layout test {key}: the structure changed in this libdpdk")))
}

fn compile(cflags: &[String], probe: &Path) {
    let mut build = cc::Build::new();
    build.files([Path::new("shim.c"), probe]).include(".").warnings(false);
    // One argument at a time: `-include` and its operand belong together and stay in order.
    for flag in cflags {
        build.flag(flag);
    }
    build.compile("guideway_dpdk_shim");
}

fn fail(message: &str) -> ! {
    // Cargo takes one line.
    let line: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    println!("cargo::error={}", line.join(" "));
    std::process::exit(1)
}
