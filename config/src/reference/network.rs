//! Ports, addresses, ways and VIPs.

use super::kind::*;
use super::{Default::*, Entry, Reload::*, entries};

entries! {
    /// Keys of `[[port]]`.
    PORT;
    "name": NAME, Required, Restart, r#"name = "edge""#,
        "What interfaces and the command line call the port. Unique.";
    "device": TEXT, Required, Restart, r#"device = "net_af_xdp0,iface=eth1""#,
        "A PCI address with its domain (`\"0000:3b:00.0\"`, bound to vfio-pci), or a DPDK virtual network device with \
        its arguments (`\"net_af_xdp0,iface=eth1\"`). Two ports cannot share a PCI address, a device's name or an \
        `iface`. `net_af_packet` gives a warning: it reassembles fragments and cuts frames at 2048 bytes.";
    "mtu": Integer { low: 68, high: 9600, unit: "bytes" }, Value("1500"), Restart, "mtu = 1520",
        "Largest layer-3 packet. VLAN tags are not part of it. At least 1280 if an interface of the port has an IPv6 \
        address. Tunnels need room for their outer headers.";
    "workers": List(&CORE), Said("all of `[cores] workers`"), Restart, "workers = [1]",
        "Cores out of `[cores] workers` that poll the port, one receive queue each.";
}

entries! {
    /// Keys of `[[interface]]`.
    INTERFACE;
    "port": NAME, Required, Restart, r#"port = "edge""#,
        "Where the addresses are. A port has several interfaces if their tags differ; one of them may be untagged.";
    "addresses": List(&SUBNET), Required, Yes, r#"addresses = ["192.0.2.3/24", "2001:db8::2/64"]"#,
        "Own addresses: sources of probes, of ARP and NDP, and of tunnel packets. Each only once; not the network's \
        or broadcast address of its subnet.";
    "vlan": Integer { low: 1, high: 4094, unit: "" }, Said("untagged"), Restart, "vlan = 120",
        "The interface's frames carry this VLAN tag (IEEE 802.1Q).";
    "service_vlan": Integer { low: 1, high: 4094, unit: "" }, Said("one tag"), Restart,
        "service_vlan = 100, vlan = 120",
        "They carry this tag outside of that of `vlan`, which must be given (IEEE 802.1ad: the outer one is the \
        S-tag, the inner one the C-tag).";
    "neighbor": Tables("[[interface.neighbor]]"), Nothing, Yes,
        r#"neighbor = [{ address = "192.0.2.1", mac = "02:00:00:00:00:fe" }]"#,
        "Neighbors that need no ARP or NDP.";
}

entries! {
    /// Keys of `[[interface.neighbor]]`.
    NEIGHBOR;
    "address": ADDRESS, Required, Yes, r#"address = "192.0.2.7""#,
        "Lies in a subnet of the interface and is no own address. Each only once.";
    "mac": MAC, Required, Yes, r#"mac = "02:00:00:00:00:fe""#,
        "The neighbor's unicast Ethernet address.";
}

entries! {
    /// Keys of `[[route]]`.
    ROUTE;
    "to": DESTINATION, Required, Yes, r#"to = "198.51.100.0/24""#,
        "Destinations. `\"default\"` is 0.0.0.0/0, ::/0 or both, by the families in `via`.";
    "via": List(&ADDRESS), Required, Yes, r#"via = ["192.0.2.253", "192.0.2.254"]"#,
        "The next hops, 1 to 16 of each family, of the family of `to`, each in a subnet of an interface and listed \
        once. Several of one family share the flows; they may be on different interfaces.";
}

entries! {
    /// Keys of `[[vip]]`.
    VIP;
    "address": BLOCK, Required, Another, r#"address = "203.0.113.64/26""#,
        "The virtual address, or all addresses of a prefix. It neither is nor contains an own address of an \
        interface, a next hop, a neighbor or a backend.";
    "protocol": Words(&["tcp", "udp", "quic"]), Required, Another, r#"protocol = "udp""#,
        "The transport protocol. `quic` is UDP whose packets are known by their connection IDs, see \
        `[[pool.quic_lb]]`.";
    "port": OneOf(&[Integer { low: 1, high: 65535, unit: "" }, PORTS]), Required, Another, r#"port = "8000-8099""#,
        "The destination port. A range includes both ends. `\"any\"` takes every port that no other VIP of this address \
        and protocol takes.";
    "pool": NAME, Required, Disruptive, r#"pool = "web""#,
        "Who serves it.";
    "announce": Words(&["auto", "arp", "none"]), Value(r#""auto""#), Yes, r#"announce = "none""#,
        "Who answers ARP and NDP for the address. `auto`: Guideway, if the VIP lies in an interface's subnet. `arp`: \
        Guideway, on every interface. `none`: nobody; the VIP is routed here. A single address is also announced, by \
        gratuitous ARP or an unsolicited advertisement, at start and when a port returns; the addresses of a prefix \
        are answered for when somebody asks.";
    "affinity": Words(&["none", "client"]), Value(r#""none""#), Disruptive, r#"affinity = "client""#,
        "What keeps a client on its backend beyond one flow. `client`: all flows of a client's address to the VIPs of \
        a pool go to one backend, also through changes, as long as it comes back within `affinity_window` and pins \
        fit. All clients behind one address, such as a carrier's NAT, are one. Not with `quic`, whose connection IDs \
        say more.";
    "affinity_window": Duration { low: "100ms", high: "24h" }, Said("`\"900s\"` with `affinity = \"client\"`"), Yes,
        r#"affinity_window = "10m", affinity = "client""#,
        "How long after its last packet a client still keeps its backend. Only with `affinity = \"client\"`. A drain \
        takes at least as long, and for as long after a change each client that comes takes a pin.";
}
