//! Pools and their backends.

use super::kind::*;
use super::{Default::*, Entry, Reload::*, entries};

entries! {
    /// Keys of `[[pool]]`.
    POOL;
    "name": NAME, Required, Yes, r#"name = "web""#,
        "Unique.";
    "forward": Words(&["l2dsr", "ipip", "gre", "gue", "nat", "fullnat"]), Required, Yes, r#"forward = "gre""#,
        "How packets reach backends. `l2dsr`: with their MAC, so backends lie in a subnet of an interface and have \
        the family of the pool's VIPs. `ipip`: in IPv4 or IPv6, all four combinations, over any route. `gre`: the \
        same in GRE (RFC 2784, no optional fields). `gue`: the same in GUE, which is UDP with a source port from the \
        flow's hash. `nat`: with the backend's address as destination; answers come back through the balancer, which is \
        the backends' gateway. `fullnat`: with an address of the balancer as source too; backends need nothing. The last \
        two keep a session for each flow, and a pool does not change between them and the others at run time.";
    "health": OneOf(&[Table("health"), Tables("health")]), Said("`{ kind = \"tcp\" }`"), Yes,
        r#"health = [{ kind = "tcp" }, { kind = "http", path = "/health" }]"#,
        "How backends are checked.";
    "agent": Table("agent"), Nothing, Yes, r#"agent = { port = 9778, interval = "1s" }"#,
        "A program on the backends that sets their share.";
    "slow_start": Duration { low: "1s", high: "1h" }, Nothing, Yes, r#"slow_start = "30s""#,
        "A backend that returns, or joins, gets a quarter of its weight at once, and the rest in three steps within \
        this time. Each step is a planned change.";
    "table_size": Prime { low: 2, high: 16777213 }, Said("by the number of backends"), Disruptive, "table_size = 65537",
        "Slots of the pool's table. Fewer than 100 for each backend gives a warning, fewer than backends an error.";
    "encap_source": BLOCK, Said("the own address on the way to the backend"), Yes, r#"encap_source = "10.99.0.0/16""#,
        "Outer source of tunnel packets, of the family of the pool's backends; not with `l2dsr`. In a prefix the \
        flow's hash fills the remaining bits, so that backends and networks spread flows by addresses too.";
    "gue_port": Integer { low: 1, high: 65535, unit: "" }, Value("6080"), Yes, r#"gue_port = 6081, forward = "gue""#,
        "Destination port of the outer UDP header; `gue` only.";
    "gue_variant": Integer { low: 0, high: 1, unit: "" }, Value("0"), Yes, r#"gue_variant = 1, forward = "gue""#,
        "0: a GUE header of 4 bytes follows UDP. 1: the inner packet follows UDP at once, which saves them. `gue` \
        only.";
    "udp_checksum": Boolean, Value("true"), Yes, r#"udp_checksum = false, forward = "gue""#,
        "Whether the outer UDP checksum is computed. Without, it is zero, which over IPv6 backends must allow (RFC \
        6935, RFC 6936). `gue` only.";
    "fragment_outer": Boolean, Value("false"), Yes, "fragment_outer = true",
        "A packet without DF that does not fit after encapsulation leaves as fragments of the outer packet, which the \
        backend puts together. Otherwise it is dropped. Not with `l2dsr`.";
    "proxy_protocol": Words(&["v1", "v2"]), Nothing, Yes, r#"proxy_protocol = "v2", forward = "fullnat""#,
        "Backends learn the client's address from a header of the PROXY protocol, before the first byte of a connection \
        or in every datagram; `nat` and `fullnat` only. They must expect it. `v1` is a line of text and knows TCP only.";
    "proxy_tlvs": List(&Words(&["crc32c", "unique_id", "vip"])), Nothing, Yes,
        r#"proxy_tlvs = ["unique_id", "vip"], proxy_protocol = "v2", forward = "fullnat""#,
        "What a header of version 2 says beside the addresses: a checksum of itself, an identifier of the connection, \
        the VIP as `status` names it (type 0xE0).";
    "proxy_datagrams": Words(&["each", "first"]), Value(r#""each""#), Yes,
        r#"proxy_datagrams = "first", proxy_protocol = "v2", forward = "fullnat""#,
        "Which datagrams of a UDP flow have a header. `first`: a backend that loses the first one never learns who its client \
        is, but later ones may be as long as without.";
    "source_addresses": List(&ADDRESS), Said("the own address on the way to the backend"), Restart,
        r#"source_addresses = ["198.51.100.200"], forward = "fullnat""#,
        "The addresses that stand for clients, at most 256; `fullnat` only. Each gives a backend some 60,000 connections \
        at once, and at most 880 new ones a second, since a port rests for 68 s. They belong to nobody else: those in an \
        interface's subnet are answered for by ARP and NDP, others must be routed here.";
    "connect_timeout": Duration { low: "10ms", high: "60s" }, Value(r#""500ms""#), Yes,
        r#"connect_timeout = "200ms", forward = "fullnat""#,
        "For how long a backend may leave a client's SYN without an answer before another backend gets it; `nat` and \
        `fullnat` only.";
    "connect_retries": Integer { low: 0, high: 4, unit: "" }, Value("2"), Yes, r#"connect_retries = 1, forward = "fullnat""#,
        "How many other backends get a SYN that was not answered in `connect_timeout`, or refused, before the client learns \
        of it. The backend that did not answer is probed at once. `nat` and `fullnat` only.";
    "syn_proxy": Words(&["off", "on", "auto"]), Value(r#""off""#), Yes, r#"syn_proxy = "auto", forward = "fullnat""#,
        "Whether SYNs are answered here, with a cookie, and a backend hears of a client only once it has acknowledged that: \
        a flood of SYNs from false addresses costs no memory and reaches no backend. `auto`: in a flood, see \
        `syn_proxy_rate`. Connections that begin so have no ECN, no TCP Fast Open and no Multipath TCP. `nat` and \
        `fullnat` only.";
    "syn_proxy_rate": Integer { low: 100, high: 1000000000, unit: "SYNs a second" }, Value("100000"), Yes,
        r#"syn_proxy_rate = 20000, syn_proxy = "auto", forward = "fullnat""#,
        "SYNs a second to the pool that count as a flood, over all workers; it is over 5 s after the last such second. Also \
        when handshakes take most of their room in `[state] sessions`. `auto` only.";
    "panic_threshold": Share, Said("off"), Yes, r#"panic_threshold = "50%""#,
        "When a smaller share of the serving group's backends is up than this, that group serves from all of them: \
        the probes are then likelier wrong than the backends.";
    "group_min": Share, Value("0.5"), Yes, r#"group_min = "30%""#,
        "The share of a group's backends that is enough for it to serve. With one group it has no effect (a warning).";
    "tracking": Words(&["transition", "always"]), Value(r#""transition""#), Disruptive, r#"tracking = "always""#,
        "Which flows are remembered. `transition`: those that a change could move, and only while it could; otherwise \
        a packet leaves nothing behind. `always`: all, as other balancers do; each packet then costs a look at \
        `[state] pins` more, and these must hold every flow of `idle_timeout`.";
    "idle_timeout": Table("idle_timeout"), Said("that of each of its keys"), Yes, r#"idle_timeout = { tcp = "300s" }"#,
        "How long flows may be silent.";
    "drain_timeout": Duration { low: "1us", high: "720h" }, Nothing, Yes, r#"drain_timeout = "4h""#,
        "A drain that takes longer is forced: what is left of the backend's flows moves to others. Without it a drain \
        takes as long as its flows.";
    "on_down": Words(&["move", "keep"]), Value(r#""move""#), Yes, r#"on_down = "keep""#,
        "What becomes of the flows of a backend that is down. `move`: they move to others, which mostly resets them. \
        `keep`: they stay, as in a drain, for backends that come back with their connections; until then their \
        packets are lost. New flows go to others either way.";
    "quic_lb": Tables("[[pool.quic_lb]]"), Nothing, Yes,
        "quic_lb = [{ config_id = 1, server_id_len = 2, nonce_len = 6 }]",
        "Where QUIC connection IDs name a backend.";
    "backend": Tables("[[pool.backend]]"), Said("none: at least one is needed"), Yes,
        r#"backend = [{ name = "web1", address = "198.51.100.11", server_id = "0a0b" }]"#,
        "The backends.";
}

entries! {
    /// Keys of `agent`.
    AGENT;
    "port": Integer { low: 1, high: 65535, unit: "" }, Required, Yes, "port = 9778",
        "Where it listens.";
    "interval": Duration { low: "1ms", high: "1h" }, Value(r#""2s""#), Yes, r#"interval = "5s""#,
        "From question to question.";
    "timeout": Duration { low: "1ms", high: "1h" }, Value(r#""1s""#), Yes, r#"timeout = "500ms""#,
        "How long a question may take.";
    "via": Words(&["dataplane", "kernel"]), Value(r#""dataplane""#), Yes, r#"via = "kernel""#,
        "As in `health`: to the VIP's address through the rewrite, or to the backend's own address.";
}

entries! {
    /// Keys of `idle_timeout`.
    IDLE_TIMEOUT;
    "tcp": Duration { low: "100ms", high: "24h" }, Value(r#""900s""#), Yes, r#"tcp = "300s""#,
        "Of TCP connections. Longer than the keepalives of clients, if they send some.";
    "udp": Duration { low: "100ms", high: "24h" }, Value(r#""30s""#), Yes, r#"udp = "10s""#,
        "Of UDP flows.";
    "quic": Duration { low: "100ms", high: "24h" }, Value(r#""60s""#), Yes, r#"quic = "20s""#,
        "Of QUIC connections. Their own idle timeout is a good value.";
}

entries! {
    /// Keys of `[[pool.backend]]`.
    BACKEND;
    "name": NAME, Said("the address"), Another, r#"name = "web-1""#,
        "Identity in the table, unique in the pool. A backend that changes its address and keeps its name keeps its \
        slots.";
    "address": ADDRESS, Required, Another, r#"address = "198.51.100.12""#,
        "Where it is: no VIP, no own address. The same address twice in one pool gives a warning.";
    "weight": Integer { low: 0, high: 65535, unit: "" }, Value("1"), Yes, "weight = 100",
        "Its share of new flows relative to the others of its group; 0 drains it.";
    "port": Integer { low: 1, high: 65535, unit: "" }, Said("the VIP's"), Yes, r#"port = 8080"#,
        "Where it listens; in pools with `nat` or `fullnat` only.";
    "priority": Integer { low: 0, high: 255, unit: "" }, Value("0"), Yes, "priority = 1",
        "Its group. The lowest one serves while enough of it are up.";
    "server_id": SERVER_ID, Nothing, Yes, r#"server_id = "0a0c""#,
        "What names it in QUIC connection IDs. Unique in the pool, as long as `server_id_len`; only in pools with \
        `quic_lb`.";
}

entries! {
    /// Keys of `[[pool.quic_lb]]`.
    QUIC_LB;
    "config_id": Integer { low: 0, high: 6, unit: "" }, Required, Yes, "config_id = 1",
        "The first three bits of the connection IDs that the entry is for. Unique in the pool.";
    "server_id_len": Integer { low: 1, high: 15, unit: "bytes" }, Required, Yes, "server_id_len = 2",
        "Length of the server ID, the same in all entries of a pool.";
    "nonce_len": Integer { low: 4, high: 18, unit: "bytes" }, Required, Yes, "nonce_len = 8",
        "Length of the nonce; with the server ID at most 19.";
    "key": KEY, Said("the server ID lies open"), Yes, r#"key = "8f95f09245765f80256934e50c66207f""#,
        "The AES-128 key that server ID and nonce are encrypted with. The same as on the backends. Without it the \
        server ID lies open.";
}
