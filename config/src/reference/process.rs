//! The file itself, the process, and what it writes down.

use super::kind::*;
use super::{Default::*, Entry, Reload::*, entries};

entries! {
    /// Keys of the file.
    FILE;
    "fleet": Table("[fleet]"), Required, Disruptive, "",
        "What all machines of a fleet have in common, one table.";
    "cores": Table("[cores]"), Required, Restart, "",
        "Which cores do what, one table.";
    "dpdk": Table("[dpdk]"), Nothing, Restart, "",
        "Additions to the start of DPDK, one table.";
    "api": Table("[api]"), Nothing, Restart, "",
        "The control socket, one table.";
    "state": Table("[state]"), Nothing, Disruptive, "",
        "Memory of tables and of flows, one table.";
    "port": Tables("[[port]]"), Required, Restart, "",
        "A device, one `[[port]]` each.";
    "interface": Tables("[[interface]]"), Nothing, Restart, "",
        "Own addresses on a port, one `[[interface]]` each.";
    "route": Tables("[[route]]"), Nothing, Yes, "",
        "A next hop, one `[[route]]` for each destination.";
    "pool": Tables("[[pool]]"), Nothing, Yes, "",
        "Backends, one `[[pool]]` each.";
    "vip": Tables("[[vip]]"), Nothing, Yes, "",
        "A virtual address, one `[[vip]]` each.";
    "exception": Table("[exception]"), Nothing, Restart, "",
        "What the kernel gets of the ports, and sends by them, one table.";
    "audit": Table("[audit]"), Nothing, Restart, "",
        "What is written down of connections and changes, one table.";
}

entries! {
    /// Keys of `[fleet]`.
    FLEET;
    "hash_key": KEY, Required, Disruptive, r#"hash_key = "8f1d6a0c4e7b92d35a60c1f88e2b947d""#,
        "The 128-bit key of the flow hash and of the tables. The same on every machine of the fleet, or they send one \
        flow to different backends. Keep it secret: who knows it can aim flows at one backend. All zero gives a \
        warning.";
}

entries! {
    /// Keys of `[cores]`.
    CORES;
    "control": CORE, Required, Restart, "control = 2",
        "Runs probes, ARP and NDP, and the API.";
    "workers": List(&CORE), Required, Restart, "workers = [1, 2, 3]",
        "One pinned poll loop on each. At most as many as the machine has cores; each only once.";
    "idle": Words(&["poll", "adaptive", "interrupt"]), Value(r#""poll""#), Restart, r#"idle = "adaptive""#,
        "What a worker does that found no packet. `poll`: it looks again at once, so the core shows 100 % always. \
        `adaptive`: it pauses, then sleeps shortly, which suits virtual machines and machines with few cores. \
        `interrupt`: it sleeps until a packet or the control side wakes it, which costs next to nothing while \
        nothing comes.";
    "power": Words(&["off", "pause", "monitor"]), Value(r#""off""#), Restart, r#"power = "pause""#,
        "What the core of a worker with `idle = \"poll\"` does between polls that find nothing. `pause`: it halts for \
        some microseconds (TPAUSE). `monitor`: it halts until the device writes to the receive queue (UMWAIT). \
        `check` and `run` refuse what the processor cannot do, and `run` a device that cannot be watched.";
}

entries! {
    /// Keys of `[dpdk]`.
    DPDK;
    "extra_args": List(&TEXT), Value("[]"), Restart, r#"extra_args = ["--log-level=lib.eal:debug"]"#,
        "Arguments added to those that Guideway gives to the EAL of DPDK. Rarely needed.";
}

entries! {
    /// Keys of `[api]`.
    API;
    "socket": PATH, Value(r#""/run/guideway.sock""#), Restart, r#"socket = "/run/guideway-lab.sock""#,
        "The Unix socket on which `guideway status` and its like reach the running process.";
    "listen": SOCKET, Nothing, Restart, r#"listen = "127.0.0.1:9400", token_file = "/etc/guideway/token""#,
        "Where the same API is served over TCP, as `\"127.0.0.1:9400\"` or `\"[::1]:9400\"`. It is not encrypted: beyond \
        the machine take a tunnel or a proxy with TLS. Needs `token_file`, or at a loopback address `token = \
        \"none\"`.";
    "token_file": PATH, Nothing, Restart, r#"token_file = "/etc/guideway/token", listen = "192.0.2.2:9400""#,
        "A file with the token that requests over TCP show as `Authorization: Bearer TOKEN`: at least 16 characters, \
        not readable by everybody. Read at the start.";
    "token": NO_TOKEN, Nothing, Restart, r#"token = "none", listen = "[::1]:9400""#,
        "Requests need no token: every program of this machine may control the load balancer. Pages that a browser \
        has from another site are refused.";
}

entries! {
    /// Keys of `[state]`.
    STATE;
    "table_memory": Size, Value(r#""1GiB""#), Disruptive, r#"table_memory = "256MiB""#,
        "What the copies of the pools' tables may take. Each worker has a copy of its own while all copies together \
        fit, else all workers share one. A table takes 2 bytes a slot.";
    "pins": Integer { low: 8, high: 268435456, unit: "flows" }, Value("1048576"), Disruptive, "pins = 4194304",
        "How many flows can be remembered at a time, by all workers together. Rounded up to a multiple of 8. A pin \
        takes 8 bytes, so the default takes 8 MiB, whether pins are in use or not.";
    "arm_time": Duration { low: "0s", high: "60s" }, Value(r#""3s""#), Disruptive, r#"arm_time = "1s""#,
        "How long a planned change (a drain, an addition, a weight, a recovery) first only remembers the flows that \
        start on the slots concerned, before new flows take their new backend. A client that repeats its SYN within \
        it stays on one backend. It delays each planned change by as much; with `\"0s\"` a SYN that is repeated during \
        a change can reach two backends.";
    "sessions": Integer { low: 1024, high: 33554432, unit: "sessions" }, Value("262144"), Restart, "sessions = 1000000",
        "Flows of `nat` and `fullnat` pools that each worker has room for, at 128 bytes each; the memory is taken at the \
        start, and only if a pool needs it. When it is full the flow that has been in its handshake for longest gives way.";
    "embryonic_sessions": Integer { low: 1, high: 100, unit: "percent of `sessions`" }, Value("25"), Restart,
        "embryonic_sessions = 10",
        "How many of them may be in their handshake: beyond it the one that has been so for longest gives way, however much \
        room there is. So a flood of SYNs leaves the rest to flows that stand.";
    "sessions_full": Words(&["drop", "evict"]), Value(r#""drop""#), Restart, r#"sessions_full = "evict""#,
        "What becomes of a new flow when the table is full and no flow is in its handshake. `drop`: it is dropped \
        (`sessions_full`). `evict`: of some flows whose time is over soonest the one that has been silent for longest gives way, \
        if that is 10 s or more; else the new flow is dropped. A flow with packets in the last 10 s never gives way.";
    "connection_rate": Integer { low: 1000, high: 10000000, unit: "connections a second" }, Value("100000"), Restart,
        "connection_rate = 1000000",
        "New connections a second to `fullnat` pools at each worker that its memory of resting source ports is made for, at 136 \
        bytes each. With three times as many every second draw of a port fails, which costs time; no port rests for less than 68 s.";
    "file": PATH, Nothing, Restart, r#"file = "/var/lib/guideway/state.json""#,
        "Where `drain`, `disable`, weights, additions and removals of the command line are kept, so that a restart \
        finds them. Without it a restart forgets them.";
}

entries! {
    /// Keys of `[exception]`.
    EXCEPTION;
    "ports": List(&NAME), Said("all ports"), Restart, r#"ports = ["edge"]"#,
        "The ports with a TAP device. At least one, each only once.";
    "prefix": TEXT, Value(r#""gw-""#), Restart, r#"prefix = "lb-""#,
        "The device is called this and the port's name: together at most 15 bytes, no white space, `/`, `:` or `%`, \
        and not the `iface` of a port's device.";
    "rate": Integer { low: 100, high: 10000000, unit: "packets a second" }, Value("20000"), Restart, "rate = 50000",
        "Packets a second by each device: of what the kernel sends; and of what it gets, separately for BGP, ARP and \
        NDP, ICMP, and the rest. The rest is limited for each worker, too.";
}

entries! {
    /// Keys of `[audit]`.
    AUDIT;
    "connections": Table("connections"), Nothing, Restart,
        r#"connections = { to = "file", path = "/var/log/guideway/connections.json", sample = 10 }"#,
        "Beginnings of connections.";
    "changes": Table("changes"), Nothing, Restart, r#"changes = { to = "syslog" }"#,
        "Changes of what the balancer does, by whom.";
}

entries! {
    /// Keys of `connections`.
    CONNECTIONS;
    "to": Words(&["file", "stdout", "syslog", "ipfix"]), Required, Restart, r#"to = "syslog""#,
        "A line of JSON each, to a file or to standard output; a message with JSON to a syslog daemon (RFC 5424); a \
        record to a collector of flows (IPFIX, RFC 7011).";
    "path": PATH, Said("required with `to = \"file\"`"), Restart,
        r#"path = "/var/log/guideway/connections.json", to = "file""#,
        "The absolute path of a file, which is appended to. A reload opens it again.";
    "address": SOCKET, Said("`/dev/log` with `to = \"syslog\"`; required with `\"ipfix\"`"), Restart,
        r#"address = "192.0.2.9:4739", to = "ipfix""#,
        "Address and UDP port of the daemon, or of the collector.";
    "sample": Integer { low: 1, high: 4294967295, unit: "" }, Value("1"), Restart, "sample = 100",
        "One TCP flow or QUIC connection of so many, at random.";
    "datagram_sample": Integer { low: 0, high: 4294967295, unit: "" }, Value("1000"), Restart, "datagram_sample = 0",
        "One datagram of so many to `udp` VIPs, at random; 0: none.";
    "rate": Integer { low: 1, high: 1000000, unit: "entries a second" }, Value("10000"), Restart, "rate = 500",
        "Entries a second at most, all workers together; each has an equal share.";
}

entries! {
    /// Keys of `changes`.
    CHANGES;
    "to": Words(&["file", "stdout", "syslog"]), Required, Restart, r#"to = "syslog""#,
        "A line of JSON each, to a file or to standard output; a message with JSON to a syslog daemon (RFC 5424).";
    "path": PATH, Said("required with `to = \"file\"`"), Restart,
        r#"path = "/var/log/guideway/changes.json", to = "file""#,
        "The absolute path of a file, which is appended to. A reload opens it again.";
    "address": SOCKET, Said("`/dev/log` with `to = \"syslog\"`"), Restart,
        r#"address = "192.0.2.9:514", to = "syslog""#,
        "Address and UDP port of the daemon.";
}
