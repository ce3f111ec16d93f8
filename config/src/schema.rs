//! Every key that a configuration may hold, by section, and those that this version refuses by name.

/// One table of the file.
#[derive(Debug)]
pub struct Section {
    /// As the user writes it, for example `[[port]]`.
    pub title: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// One key of a section.
#[derive(Debug)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// `Some`: not built yet, with what to do instead.
    pub refused: Option<&'static str>,
}

impl Section {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The keys that may be used.
    pub fn built(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().filter(|key| key.refused.is_none()).map(|key| key.name)
    }
}

const fn built(name: &'static str) -> Key {
    Key { name, refused: None }
}

const fn refused(name: &'static str, instead: &'static str) -> Key {
    Key { name, refused: Some(instead) }
}

/// The tables of a file.
pub const FILE: Section = Section {
    title: "the file",
    keys: &[
        built("fleet"),
        built("cores"),
        built("dpdk"),
        built("api"),
        built("state"),
        built("port"),
        built("interface"),
        built("route"),
        built("pool"),
        built("vip"),
        built("exception"),
        built("audit"),
    ],
};

/// `[fleet]`.
pub const FLEET: Section = Section { title: "[fleet]", keys: &[built("hash_key")] };

/// `[cores]`.
pub const CORES: Section =
    Section { title: "[cores]", keys: &[built("control"), built("workers"), built("idle"), built("power")] };

/// `[dpdk]`.
pub const DPDK: Section = Section { title: "[dpdk]", keys: &[built("extra_args")] };

/// `[api]`.
pub const API: Section =
    Section { title: "[api]", keys: &[built("socket"), built("listen"), built("token_file"), built("token")] };

/// `[state]`.
pub const STATE: Section = Section {
    title: "[state]",
    keys: &[
        built("table_memory"),
        built("pins"),
        built("arm_time"),
        built("file"),
        built("sessions"),
        built("embryonic_sessions"),
        built("sessions_full"),
        built("connection_rate"),
    ],
};

/// `[[port]]`.
pub const PORT: Section = Section {
    title: "[[port]]",
    keys: &[
        built("name"),
        built("device"),
        built("mtu"),
        built("workers"),
        refused("bond", "remove it and name one device with `device`"),
    ],
};

/// `[[interface]]`.
pub const INTERFACE: Section = Section {
    title: "[[interface]]",
    keys: &[built("port"), built("addresses"), built("vlan"), built("service_vlan"), built("neighbor")],
};

/// `[[interface.neighbor]]`.
pub const NEIGHBOR: Section = Section { title: "[[interface.neighbor]]", keys: &[built("address"), built("mac")] };

/// `[[route]]`.
pub const ROUTE: Section = Section { title: "[[route]]", keys: &[built("to"), built("via")] };

/// `[[pool]]`.
pub const POOL: Section = Section {
    title: "[[pool]]",
    keys: &[
        built("name"),
        built("forward"),
        built("health"),
        built("agent"),
        built("slow_start"),
        built("table_size"),
        built("encap_source"),
        built("gue_port"),
        built("gue_variant"),
        built("udp_checksum"),
        built("fragment_outer"),
        built("panic_threshold"),
        built("group_min"),
        built("tracking"),
        built("idle_timeout"),
        built("drain_timeout"),
        built("on_down"),
        built("quic_lb"),
        built("backend"),
        built("proxy_protocol"),
        built("proxy_tlvs"),
        built("proxy_datagrams"),
        built("source_addresses"),
        built("connect_timeout"),
        built("connect_retries"),
        built("syn_proxy"),
        built("syn_proxy_rate"),
    ],
};

/// `health = { … }` of a pool.
pub const HEALTH: Section = Section {
    title: "health",
    keys: &[
        built("kind"),
        built("port"),
        built("interval"),
        built("fast_interval"),
        built("timeout"),
        built("rise"),
        built("fall"),
        built("via"),
        built("probe_source"),
        built("dead_after"),
        built("path"),
        built("host"),
        built("method"),
        built("expect_status"),
        built("expect_body"),
        built("sni"),
        built("verify"),
        built("ca_file"),
        built("send"),
        built("send_hex"),
        built("expect"),
        built("expect_hex"),
        built("name"),
        built("type"),
        built("expect_rcode"),
        built("service"),
        built("tls"),
    ],
};

/// `agent = { … }` of a pool.
pub const AGENT: Section =
    Section { title: "agent", keys: &[built("port"), built("interval"), built("timeout"), built("via")] };

/// `idle_timeout = { … }` of a pool.
pub const IDLE_TIMEOUT: Section = Section { title: "idle_timeout", keys: &[built("tcp"), built("udp"), built("quic")] };

/// `[[pool.backend]]`.
pub const BACKEND: Section = Section {
    title: "[[pool.backend]]",
    keys: &[built("name"), built("address"), built("weight"), built("priority"), built("server_id"), built("port")],
};

/// `[[pool.quic_lb]]`.
pub const QUIC_LB: Section = Section {
    title: "[[pool.quic_lb]]",
    keys: &[built("config_id"), built("server_id_len"), built("nonce_len"), built("key")],
};

/// `[[vip]]`.
pub const VIP: Section = Section {
    title: "[[vip]]",
    keys: &[
        built("address"),
        built("protocol"),
        built("port"),
        built("pool"),
        built("affinity"),
        built("affinity_window"),
        built("announce"),
    ],
};

/// `[exception]`.
pub const EXCEPTION: Section =
    Section { title: "[exception]", keys: &[built("ports"), built("prefix"), built("rate")] };

/// `[audit]`.
pub const AUDIT: Section = Section { title: "[audit]", keys: &[built("connections"), built("changes")] };

/// `connections = { … }` of `[audit]`.
pub const CONNECTIONS: Section = Section {
    title: "connections",
    keys: &[built("to"), built("path"), built("address"), built("sample"), built("datagram_sample"), built("rate")],
};

/// `changes = { … }` of `[audit]`.
pub const CHANGES: Section = Section { title: "changes", keys: &[built("to"), built("path"), built("address")] };

/// Every section, the file's own first.
pub const SECTIONS: &[&Section] = &[
    &FILE,
    &FLEET,
    &CORES,
    &DPDK,
    &API,
    &STATE,
    &PORT,
    &INTERFACE,
    &NEIGHBOR,
    &ROUTE,
    &POOL,
    &HEALTH,
    &AGENT,
    &IDLE_TIMEOUT,
    &BACKEND,
    &QUIC_LB,
    &VIP,
    &EXCEPTION,
    &AUDIT,
    &CONNECTIONS,
    &CHANGES,
];
