//! Checks of backends.

use super::kind::*;
use super::{Default::*, Entry, Reload::*, entries};

entries! {
    /// Keys of `health`.
    HEALTH;
    "kind": Words(&["tcp", "none", "http", "https", "tls", "udp", "dns", "icmp", "grpc"]), Value(r#""tcp""#), Yes,
        r#"kind = "tcp""#,
        "What is asked. `tcp`: a handshake, which the backend's kernel answers for a process that hangs too. `none`: \
        backends count as up, and the other keys have no effect (a warning). A key that the kind does not know is an \
        error.";
    "port": Integer { low: 1, high: 65535, unit: "" },
        Said("the port of the first VIP of the file that uses the pool"),
        Yes, r#"port = 8080, kind = "tcp""#,
        "Destination port of probes; not for `icmp`. Required if that VIP is QUIC, takes a range or `\"any\"` port, or \
        is not of the protocol of the check: UDP for `udp` and `dns`, TCP for the others.";
    "interval": Duration { low: "1ms", high: "1h" }, Said("`\"20ms\"` for `tcp` via the dataplane, else `\"1s\"`"), Yes,
        r#"interval = "50ms""#,
        "From probe to probe of one backend.";
    "fast_interval": Duration { low: "1ms", high: "1h" },
        Said("`\"10ms\"` for `tcp` via the dataplane, else `\"250ms\"`; or `interval` if that is shorter"),
        Yes, r#"fast_interval = "5ms""#,
        "The same after a first failure.";
    "timeout": Duration { low: "1ms", high: "1h" }, Said("`\"20ms\"` for `tcp` via the dataplane, else `\"1s\"`"), Yes,
        r#"timeout = "40ms""#,
        "A probe without an answer for this long has failed. With `tcp` via the dataplane it may exceed `interval`: \
        probes overlap. Other checks wait for the end of a probe before the next one.";
    "rise": Integer { low: 1, high: 255, unit: "successes" }, Value("2"), Yes, "rise = 3",
        "Successes in a row that bring a backend up.";
    "fall": Integer { low: 1, high: 255, unit: "failures" }, Value("3"), Yes, "fall = 5",
        "Failures in a row that take a backend down.";
    "via": Words(&["dataplane", "kernel"]), Value(r#""dataplane""#), Yes, r#"via = "kernel""#,
        "Which way probes take. `dataplane`: that of traffic, addressed to the VIP and through the rewrite to that \
        one backend. `kernel`: ordinary sockets of this machine, to the backend's own address, by whatever interface \
        the kernel has; it proves the process, and nothing of the path of traffic.";
    "probe_source": ADDRESS,
        Said("the own address of the destination's family on the way to the backend; with `via = \"kernel\"` the kernel's choice"),
        Yes, r#"probe_source = "192.0.2.2""#,
        "Source of probes. Via the dataplane never a VIP and of the family of the first VIP that uses the pool; no \
        own address gives a warning, since answers must reach this machine.";
    "dead_after": Duration { low: "0s", high: "1h" }, Value(r#""0s""#), Yes, r#"dead_after = "5s""#,
        "A backend whose probes time out gets no new flows at once, and keeps those that it has for this long; then \
        it is dead, and they move. A refusal or a wrong answer is a death at once. Not with `on_down = \"keep\"`, \
        which keeps flows anyway.";
    "path": PATH_OF_URL, Value(r#""/""#), Yes, r#"path = "/health", kind = "http""#,
        "`http`, `https`: what is asked for.";
    "host": TEXT, Said("the destination of the probe"), Yes, r#"host = "shop.example", kind = "http""#,
        "`http`, `https`, `grpc`: the `Host` header, or `:authority`.";
    "method": Words(&["GET", "HEAD", "OPTIONS"]), Value(r#""GET""#), Yes, r#"method = "HEAD", kind = "http""#,
        "`http`, `https`: how it is asked for.";
    "expect_status": STATUS, Value(r#""200-399""#), Yes, r#"expect_status = [200, "204-206"], kind = "http""#,
        "`http`, `https`: good status codes.";
    "expect_body": TEXT, Nothing, Yes, r#"expect_body = "ok", kind = "http""#,
        "`http`, `https`: what the first 64 KiB of the body must hold somewhere.";
    "sni": TEXT, Said("`host` without its port, if that is a name"), Yes, r#"sni = "shop.example", kind = "tls""#,
        "`https`, `tls`, `grpc` with `tls`: the name that is asked for, and that a verified certificate must have.";
    "verify": Boolean, Said("`true` with `ca_file`, else `false`"), Yes,
        r#"verify = true, sni = "shop.example", kind = "tls""#,
        "`https`, `tls`, `grpc` with `tls`: whether the certificate must be valid. Needs a name.";
    "ca_file": PATH, Said("what the system trusts"), Yes,
        r#"ca_file = "/etc/guideway/ca.pem", sni = "shop.example", kind = "tls""#,
        "`https`, `tls`, `grpc` with `tls`: certificates in PEM of those who may sign it.";
    "send": TEXT, Said("required for `udp`, this or `send_hex`"), Yes, r#"send = "ping", kind = "udp", port = 9999"#,
        "`udp`: the datagram, 1 to 1024 bytes.";
    "send_hex": BYTES, Said("required for `udp`, this or `send`"), Yes,
        r#"send_hex = "0d0a", kind = "udp", port = 9999"#,
        "`udp`: the datagram, for bytes that are no text.";
    "expect": TEXT, Nothing, Yes, r#"expect = "pong", send = "ping", kind = "udp", port = 9999"#,
        "`udp`: what the answer must hold somewhere. Without it any answer is good.";
    "expect_hex": BYTES, Nothing, Yes, r#"expect_hex = "0d0a", send = "ping", kind = "udp", port = 9999"#,
        "`udp`: what the answer must hold somewhere, for bytes that are no text.";
    "name": TEXT, Said("required for `dns`"), Yes, r#"name = "shop.example", kind = "dns", port = 53"#,
        "`dns`: the name asked for; `\".\"` is the root.";
    "type": Words(&["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"]), Value(r#""A""#), Yes,
        r#"type = "AAAA", name = "shop.example", kind = "dns", port = 53"#,
        "`dns`: the type asked for.";
    "expect_rcode": Words(&["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"]),
        Value(r#""NOERROR""#),
        Yes, r#"expect_rcode = "NXDOMAIN", name = "gone.example", kind = "dns", port = 53"#,
        "`dns`: the response code that is good.";
    "service": TEXT, Value(r#""""#), Yes, r#"service = "shop.Cart", kind = "grpc""#,
        "`grpc`: what `grpc.health.v1.Health/Check` is asked for. Good is `SERVING`. Empty: the server as a whole.";
    "tls": Boolean, Value("false"), Yes, r#"tls = true, kind = "grpc""#,
        "`grpc`: inside TLS.";
}
