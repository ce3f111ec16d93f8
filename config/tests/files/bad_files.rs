//! Files with one mistake each: where it is reported, in which words, and that nothing else is.

use crate::base::{BASE, check, check_warnings, edited};
use guideway_config::{Machine, parse};

#[test]
fn the_base_is_good() {
    let parsed = parse(BASE, Some(&Machine::with_cores(3))).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(parsed.warnings, []);
}

#[test]
fn syntax() {
    check(
        &[
            (&[("control = 0", "control = ")], &[("5:11", "TOML syntax: ")]),
            (&[("name = \"edge\"", "name = \"edge")], &[("9:13", "TOML syntax: ")]),
            (
                &[("control = 0", "control = 0\ncontrol = 1")],
                &[("6:1", "\"control\" is given twice (first given at line 5)")],
            ),
            (
                &[("port = 80 }", "port = 80, port = 81 }")],
                &[("26:37", "\"port\" is given twice (first given at line 26)")],
            ),
            (
                &[("[[route]]", "[cores]\nidle = \"poll\"\n[[route]]")],
                &[("19:2", "\"cores\" is given twice (first given at line 4)")],
            ),
            (&[("to = \"default\"", "to = \"default\"\0")], &[("20:15", "NUL")]),
            (
                &[("control = 0", "control = 08"), ("mac = \"", "mac = \"\\q")],
                &[("5:11", "syntax"), ("17:9", "syntax")],
            ),
        ],
        None,
    );
}

#[test]
fn keys_and_types() {
    check(
        &[
            (
                &[("[fleet]", "[flet]")],
                &[
                    ("1:1", "the file lacks the key `fleet`"),
                    ("1:2", "unknown key \"flet\" in the file; help: did you mean `fleet`?"),
                ],
            ),
            (
                &[("hash_key", "hashkey")],
                &[("1:1", "[fleet] lacks the key `hash_key`"), ("2:1", "did you mean `hash_key`?")],
            ),
            (
                &[("name = \"edge\"", "name = \"edge\"\nmtuu = 1500")],
                &[("10:1", "unknown key \"mtuu\" in [[port]]; help: did you mean `mtu`?")],
            ),
            (&[("port = \"edge\"", "port = \"edge\"\nmtu = 1500")], &[("14:1", "`mtu` is a key of [[port]]")]),
            (
                &[("port = \"edge\"", "port = \"edge\"\nwizard = 1500")],
                &[("14:1", "[[interface]] knows `port`, `addresses`, `vlan`, `service_vlan`, `neighbor`")],
            ),
            (
                &[("kind = \"tcp\", port", "kind = \"tcp\", ports")],
                &[("26:26", "unknown key \"ports\" in health; help: did you mean `port`?")],
            ),
            (&[("[[port]]", "[port]")], &[("8:1", "write [[port]] with double brackets")]),
            (&[("[cores]", "[[cores]]")], &[("4:1", "write [cores] once")]),
            (
                &[("control = 0", "control = \"0\"")],
                &[("5:11", "`control` must be an integer from 0 to 1023, not a string")],
            ),
            (&[("control = 0", "control = -1")], &[("5:11", "not -1")]),
            (&[("control = 0", "")], &[("4:1", "[cores] lacks the key `control`")]),
            (
                &[("workers = [1, 2]", "workers = 1")],
                &[("6:11", "`workers` must be an array of core numbers, in brackets, not an integer")],
            ),
            (&[("workers = [1, 2]", "workers = [1, \"2\"]")], &[("6:15", "`workers` must be an integer")]),
            (&[("name = \"web\"", "name = 7")], &[("24:8", "`name` must be a string in quotes, not an integer")]),
            (&[("name = \"web\"", "name = \"we b\"")], &[("24:8", "contains ' '"), ("39:8", "no pool")][..1]),
            (
                &[("health = { kind = \"tcp\", port = 80 }", "health = \"none\"")],
                &[("26:10", "write { kind = \"none\" }")],
            ),
            (
                &[("weight = 100", "weight = 65536")],
                &[("30:10", "`weight` must be an integer from 0 to 65535, not 65536")],
            ),
            (
                &[("weight = 100", "weight = 99999999999999999999999999999999999999999999")],
                &[("30:10", "from 0 to 65535")],
            ),
            (&[("weight = 100", "weight = 1.5")], &[("30:10", "not a float")]),
        ],
        None,
    );
}

#[test]
fn fleet_cores_and_process() {
    check(
        &[
            (&[("0e0f\"", "0e\"")], &[("2:12", "needs 32 hexadecimal digits (128 bits), has 30")]),
            (&[("0e0f\"", "0e0g\"")], &[("2:12", "'g' is not a hexadecimal digit")]),
            (&[("[1, 2]", "[]")], &[("6:11", "`workers` is empty")]),
            (&[("[1, 2]", "[1, 1]")], &[("6:15", "core 1 is listed twice (first listed at line 6)")]),
            (&[("[1, 2]", "[0, 2]")], &[("5:11", "core 0 is a worker's core")]),
            (
                &[("[1, 2]", "[1, 2]\nidle = \"sleep\"")],
                &[("7:8", "`idle` cannot be \"sleep\"; help: use one of \"poll\", \"adaptive\", \"interrupt\"")],
            ),
            (
                &[("[1, 2]", "[1, 2]\npower = \"scale\"")],
                &[("7:9", "power = \"scale\" is not built yet; help: the kernel's governor sets frequencies")],
            ),
            (&[("[1, 2]", "[1, 2]\npower = \"deep\"")], &[("7:9", "use one of \"off\", \"pause\", \"monitor\"")]),
            (
                &[("[1, 2]", "[1, 2]\nidle = \"interrupt\"\npower = \"pause\"")],
                &[("8:9", "a worker with idle = \"interrupt\" sleeps, which saves more; help: remove `power`")],
            ),
            (&[("[1, 2]", "[1, 2]\n[dpdk]\nextra_args = \"-l 1\"")], &[("8:14", "array of strings")]),
            (&[("[1, 2]", "[1, 2]\n[dpdk]\nextra_args = [\"a\\u0000\"]")], &[("8:15", "control character")]),
            (&[("[1, 2]", "[1, 2]\n[api]\nsocket = \"run/x\"")], &[("8:10", "absolute path")]),
            (&[("[1, 2]", "[1, 2]\n[state]\ntable_memory = \"1GB\"")], &[("8:16", "\"1GB\" is not a size")]),
            (&[("[1, 2]", "[1, 2]\n[state]\ntable_memory = true")], &[("8:16", "not a boolean")]),
        ],
        None,
    );
}

#[test]
fn cores_of_a_machine() {
    let two = Machine::with_cores(2);
    check(
        &[
            (&[], &[("6:15", "core 2 does not exist: this machine has cores 0 to 1")]),
            (&[("[1, 2]", "[1]"), ("control = 0", "control = 2")], &[("5:11", "core 2 does not exist")]),
            (&[("[1, 2]", "[1, 2, 3]")], &[("6:11", "`workers` lists 3 cores, and this machine has 2")]),
        ],
        Some(&two),
    );
    for idle in ["adaptive", "interrupt"] {
        let shared = edited(&[("[1, 2]", &format!("[0, 1]\nidle = \"{idle}\""))]);
        assert!(parse(&shared, Some(&two)).is_ok(), "control may share the core of a worker that sleeps: {idle}");
    }
}

#[test]
fn ports_and_interfaces() {
    let second = "[[port]]\nname = \"back\"\ndevice = ";
    let second = |device: &str| {
        format!("mtu = 1520\n{second}\"{device}\"\n[[interface]]\nport = \"back\"\naddresses = [\"10.9.0.1/24\"]")
    };
    check(
        &[
            (
                &[("mtu = 1520", &second("net_af_xdp0,iface=gw1"))],
                &[("14:10", "the device \"net_af_xdp0\" belongs to another port (first used at line 10)")],
            ),
            (
                &[("mtu = 1520", &second("net_af_packet0,iface=gw0"))],
                &[("14:10", "the interface \"gw0\" belongs to another port's device")],
            ),
            (
                &[
                    ("net_af_xdp0,iface=gw0", "0000:3B:00.0"),
                    ("[[interface]]", "[[port]]\nname = \"b\"\ndevice = \"0000:3b:00.0\"\n[[interface]]"),
                ],
                &[("14:10", "the device \"0000:3b:00.0\" belongs to another port")],
            ),
            (&[("net_af_xdp0,iface=gw0", "eth0")], &[("10:10", "\"eth0\" is not a device; help: use a PCI address")]),
            (&[("net_af_xdp0,iface=gw0", "3b:00.0")], &[("10:10", "write \"0000:3b:00.0\"")]),
            (&[("name = \"edge\"", "name = \"edge\"\nworkers = [0]")], &[("10:12", "core 0 is not a worker")]),
            (&[("name = \"edge\"", "name = \"edge\"\nworkers = []")], &[("10:11", "`workers` is empty")]),
            (&[("mtu = 1520", "mtu = 67")], &[("11:7", "`mtu` must be an integer from 68 to 9600, not 67")]),
            (&[("mtu = 1520", "mtu = 1279")], &[("11:7", "carries IPv6, which needs 1280 (IPv6 address at line 14)")]),
            (
                &[("port = \"edge\"", "port = \"egde\"")],
                &[("13:8", "there is no port \"egde\"; help: did you mean \"edge\"?")],
            ),
            (&[("10.0.0.1/24", "10.0.0.1")], &[("14:14", "add the subnet's, for example \"10.0.0.1/24\"")]),
            (&[("10.0.0.1/24", "10.0.0.255/24")], &[("14:14", "10.0.0.255 is the broadcast address of 10.0.0.0/24")]),
            (&[("10.0.0.1/24", "224.0.0.1/24")], &[("14:14", "224.0.0.1 is a multicast address")]),
            (&[("[\"10.0.0.1/24\", \"fd00::1/64\"]", "[]")], &[("14:13", "`addresses` is empty")]),
            (
                &[("[[route]]", "[[interface]]\nport = \"edge\"\naddresses = [\"10.0.0.1/24\"]\n[[route]]")],
                &[
                    ("19:1", "the port has an untagged interface already (first defined at line 12)"),
                    ("21:14", "the address 10.0.0.1 is given twice"),
                ],
            ),
            (
                &[("address = \"10.0.0.254\"", "address = \"10.0.1.254\"")],
                &[("16:11", "in none of its interface's subnets")],
            ),
            (
                &[("address = \"10.0.0.254\"", "address = \"10.0.0.1\"")],
                &[("16:11", "the neighbor 10.0.0.1 is an own address")],
            ),
            (&[("02:00:00:00:00:fe", "03:00:00:00:00:fe")], &[("17:7", "multicast Ethernet address")]),
            (&[("02:00:00:00:00:fe", "00:00:00:00:00:00")], &[("17:7", "of zeros")]),
            (&[("mac = \"02:00:00:00:00:fe\"", "")], &[("15:1", "[[interface.neighbor]] lacks the key `mac`")]),
        ],
        None,
    );
}

#[test]
fn routes() {
    let hops = |count: u8| (1..=count).map(|hop| format!("\"10.0.0.{}\"", hop + 100)).collect::<Vec<_>>().join(", ");
    check(
        &[
            (
                &[("\"fd00::fe\"", "\"10.0.0.254\"")],
                &[("21:22", "the next hop 10.0.0.254 is listed twice (first listed at line 21)")],
            ),
            (
                &[("\"fd00::fe\"", "\"10.0.9.253\"")],
                &[("21:22", "the next hop 10.0.9.253 is in no interface's subnet")],
            ),
            (
                &[("\"fd00::fe\"", &hops(16))],
                &[("21:232", "a route holds at most 16 next hops of one family, this one has 17")],
            ),
            (&[("\"fd00::fe\"", "\"fd01::fe\"")], &[("21:22", "the next hop fd01::fe is in no interface's subnet")]),
            (&[("\"fd00::fe\"", "\"fd00::1\"")], &[("21:22", "the next hop fd00::1 is an own address")]),
            (&[("\"default\"", "\"10.0.0.0/8\"")], &[("21:22", "of another family than 10.0.0.0/8")]),
            (
                &[("\"default\"", "\"10.0.0.1/8\"")],
                &[("20:6", "has bits set after its prefix; help: write \"10.0.0.0/8\"")],
            ),
            (&[("\"default\"", "\"10.0.0.1\"")], &[("20:6", "write \"10.0.0.1/32\"")]),
            (
                &[("[[pool]]", "[[route]]\nto = \"::/0\"\nvia = [\"fd00::fd\"]\n[[pool]]")],
                &[(
                    "25:8",
                    "there is a route to ::/0 already (first given at line 21); help: put all its next hops into one `via`",
                )],
            ),
            (&[("[\"10.0.0.254\", \"fd00::fe\"]", "[]")], &[("21:7", "`via` is empty")]),
            (
                &[("[\"10.0.0.254\", \"fd00::fe\"]", "\"10.0.0.254\"")],
                &[("21:7", "array of addresses, in brackets, not a string")],
            ),
        ],
        None,
    );
}

#[test]
fn pools_and_backends() {
    let no_route = ("[[route]]\nto = \"default\"\nvia = [\"10.0.0.254\", \"fd00::fe\"]\n", "");
    check(
        &[
            (
                &[("name = \"web2\"", "name = \"web1\"")],
                &[("32:8", "two backends of this pool are called \"web1\" (first defined at line 28)")],
            ),
            (
                &[("name = \"web2\"", "name = \"10.0.0.12\"\naddress = \"10.0.0.13\"\n[[pool.backend]]")],
                &[("35:11", "two backends of this pool are called \"10.0.0.12\"")],
            ),
            (
                &[(
                    "[[vip]]",
                    "[[pool]]\nname = \"web\"\nforward = \"ipip\"\n[[pool.backend]]\naddress = \"10.0.0.13\"\n[[vip]]",
                )],
                &[("36:8", "two pools are called \"web\" (first defined at line 24)")],
            ),
            (
                &[("[[vip]]", "[[pool]]\nname = \"web9\"\nforward = \"ipip\"\n[[vip]]")],
                &[("35:1", "the pool has no backends")],
            ),
            (&[("forward = \"ipip\"", "forward = \"dsr\"")], &[("25:11", "`forward` cannot be \"dsr\"")]),
            (&[("forward = \"ipip\"\n", "")], &[("23:1", "[[pool]] lacks the key `forward`")]),
            (&[("\"10.0.0.11\"", "\"10.0.0.1111\"")], &[("29:11", "\"10.0.0.1111\" is not an IPv4 or IPv6 address")]),
            (&[("\"10.0.0.11\"", "\"10.0.0.11/24\"")], &[("29:11", "write it without a prefix length: \"10.0.0.11\"")]),
            (&[("\"10.0.0.11\"", "\"127.0.0.1\"")], &[("29:11", "127.0.0.1 is a loopback address")]),
            (&[("\"10.0.0.11\"", "\"::ffff:10.0.0.11\"")], &[("29:11", "write \"10.0.0.11\"")]),
            (
                &[("\"10.0.0.11\"", "\"203.0.113.10\"")],
                &[("29:11", "the backend 203.0.113.10 is a VIP (given at line 36)")],
            ),
            (
                &[("\"10.0.0.11\"", "\"10.0.0.1\"")],
                &[("29:11", "the backend 10.0.0.1 is an own address (given at line 14)")],
            ),
            (
                &[no_route, ("\"10.0.0.11\"", "\"10.1.0.11\"")],
                &[("26:11", "there is no way to the backend 10.1.0.11; help: add a [[route]]")],
            ),
            (
                &[("\"ipip\"", "\"l2dsr\""), ("\"10.0.0.11\"", "\"10.1.0.11\"")],
                &[("29:11", "the l2dsr backend 10.1.0.11 is in no interface's subnet")],
            ),
            (
                &[("\"ipip\"", "\"l2dsr\""), ("\"10.0.0.11\"", "\"fd00::11\"")],
                &[("29:11", "of another family than its VIP (VIP at line 36)")],
            ),
            (
                &[
                    ("\"ipip\"", "\"l2dsr\""),
                    (
                        "pool = \"web\"",
                        "pool = \"web\"\n[[vip]]\naddress = \"2001:db8::1\"\nprotocol = \"tcp\"\nport = 80\npool = \"web\"",
                    ),
                ],
                &[("41:11", "pool \"web\" (l2dsr) serves IPv4 VIPs already (first VIP at line 36)")],
            ),
            (
                &[("forward = \"ipip\"", "forward = \"ipip\"\ntable_size = 65536")],
                &[("26:14", "`table_size` 65536 is not prime; help: the next prime is 65537")],
            ),
            (&[("forward = \"ipip\"", "forward = \"ipip\"\ntable_size = 1")], &[("26:14", "from 2 to 16777213")]),
            (
                &[("forward = \"ipip\"", "forward = \"ipip\"\nencap_source = \"fd00::1\"")],
                &[("26:16", "`encap_source` fd00::1 is of another family than 10.0.0.11")],
            ),
            (
                &[("forward = \"ipip\"", "forward = \"l2dsr\"\nencap_source = \"10.0.0.1\"")],
                &[("26:16", "no meaning with forward = \"l2dsr\"")],
            ),
            (&[("forward = \"ipip\"", "forward = \"ipip\"\npanic_threshold = 50")], &[("26:19", "write \"50%\"")]),
            (
                &[("forward = \"ipip\"", "forward = \"ipip\"\npanic_threshold = \"101%\"")],
                &[("26:19", "\"0%\" to \"100%\"")],
            ),
            (
                &[("forward = \"ipip\"", "forward = \"ipip\"\npanic_threshold = nan")],
                &[("26:19", "must be from 0 to 1")],
            ),
        ],
        None,
    );
}

#[test]
fn health() {
    let probe = |text: &'static str| ("port = 80 }", text);
    check(
        &[
            (&[probe("interval = \"20\" }")], &[("26:37", "\"20\" is not a duration")]),
            (&[probe("interval = 20 }")], &[("26:37", "`interval` must be a string in quotes")]),
            (&[probe("timeout = \"0s\" }")], &[("26:36", "0ns is not between 1ms and one hour")]),
            (
                &[probe("fast_interval = \"30ms\" }")],
                &[("26:42", "`fast_interval` 30ms is longer than `interval` 20ms")],
            ),
            (&[probe("rise = 0 }")], &[("26:33", "`rise` must be an integer from 1 to 255, not 0")]),
            (&[probe("port = 0 }")], &[("26:33", "`port` must be an integer from 1 to 65535")]),
            (&[probe("probe_source = \"203.0.113.10\" }")], &[("26:41", "`probe_source` 203.0.113.10 is a VIP")]),
            (&[probe("probe_source = \"fd00::1\" }")], &[("26:41", "of another family than the VIP 203.0.113.10")]),
            (
                &[("\"tcp\", port = 80", "\"tcp\""), ("protocol = \"tcp\"", "protocol = \"udp\"")],
                &[("26:10", "health check has no port: its VIP is UDP (VIP at line 35)")],
            ),
            (
                &[("health = { kind = \"tcp\", port = 80 }\n", ""), ("port = 80", "port = \"any\"")],
                &[("23:1", "health check has no port: its VIP takes any port")],
            ),
            (
                &[("203.0.113.10", "2001:db8::1"), (", \"fd00::1/64\"", ""), (", \"fd00::fe\"", "")],
                &[(
                    "36:11",
                    "probes to this VIP have no IPv6 source on the way to backend 10.0.0.11 (backend at line 29)",
                )],
            ),
        ],
        None,
    );
}

#[test]
fn vips() {
    let second = |protocol: &str, port: &str| {
        format!(
            "pool = \"web\"\n[[vip]]\naddress = \"203.0.113.10\"\nprotocol = \"{protocol}\"\nport = {port}\npool = \"web\""
        )
    };
    check(
        &[
            (
                &[("pool = \"web\"", "pool = \"wbe\"")],
                &[("39:8", "there is no pool \"wbe\"; help: did you mean \"web\"?")],
            ),
            (
                &[("pool = \"web\"", "pool = \"mail\"")],
                &[("39:8", "there is no pool \"mail\"; help: define it with [[pool]]")],
            ),
            (
                &[("pool = \"web\"", &second("tcp", "80"))],
                &[(
                    "40:1",
                    "the VIP 203.0.113.10 with this protocol and port is given twice (first defined at line 35)",
                )],
            ),
            (&[("203.0.113.10", "10.0.0.1")], &[("36:11", "the VIP 10.0.0.1 is an own address")]),
            (&[("203.0.113.10", "10.0.0.254")], &[("16:11", "10.0.0.254 is a VIP"), ("21:8", "10.0.0.254 is a VIP")]),
            (&[("203.0.113.10", "239.0.0.1")], &[("36:11", "239.0.0.1 is a multicast address")]),
            (&[("203.0.113.10", "0.0.0.0")], &[("36:11", "0.0.0.0 is the unspecified address")]),
            (&[("port = 80\n", "port = \"80\"\n")], &[("38:8", "write 80 without quotes")]),
            (&[("port = 80\n", "port = 0\n")], &[("38:8", "from 1 to 65535, not 0")]),
            (&[("port = 80\n", "port = [80]\n")], &[("38:8", "or \"any\", not an array")]),
            (&[("protocol = \"tcp\"", "protocol = \"TCP\"")], &[("37:12", "`protocol` cannot be \"TCP\"")]),
            (
                &[("pool = \"web\"", "pool = \"web\"\nannounce = \"ndp\"")],
                &[("40:12", "use one of \"auto\", \"arp\", \"none\"")],
            ),
        ],
        None,
    );
    for (protocol, port) in [("udp", "80"), ("tcp", "\"any\""), ("tcp", "81")] {
        assert!(parse(&edited(&[("pool = \"web\"", &second(protocol, port))]), None).is_ok(), "{protocol} {port}");
    }
}

#[test]
fn warnings() {
    check_warnings(&[
        (&[("000102030405060708090a0b0c0d0e0f", "00000000000000000000000000000000")], &[("2:12", "all zero")]),
        (
            &[("forward = \"ipip\"", "forward = \"ipip\"\ntable_size = 199")],
            &[("26:14", "less than 100 slots for each of 2 backends")],
        ),
        (
            &[("weight = 100", "weight = 0"), ("\"10.0.0.12\"", "\"10.0.0.12\"\nweight = 0")],
            &[("23:1", "all backends of pool \"web\" have weight 0")],
        ),
        (&[("weight = 100", "weight = 65535")], &[("23:1", "1 of its backends get less than one of 2039 slots")]),
        (
            &[("\"10.0.0.12\"", "\"10.0.0.11\"")],
            &[("33:11", "two backends of this pool have the address 10.0.0.11 (first given at line 29)")],
        ),
        (
            &[(
                "[[vip]]",
                "[[pool]]\nname = \"idle\"\nforward = \"l2dsr\"\n[[pool.backend]]\naddress = \"10.0.0.13\"\n[[vip]]",
            )],
            &[("35:1", "no VIP uses pool \"idle\"")],
        ),
        (
            &[("[[interface]]", "[[port]]\nname = \"b\"\ndevice = \"net_null0\"\n[[interface]]")],
            &[("12:1", "no [[interface]] uses this port")],
        ),
        (&[("port = 80 }", "port = 80, probe_source = \"10.0.0.77\" }")], &[("26:52", "not an own address")]),
        (&[("kind = \"tcp\"", "kind = \"none\"")], &[("26:34", "`port` has no effect")]),
    ]);
}
