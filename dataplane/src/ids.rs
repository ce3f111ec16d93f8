//! Newtypes for the small integers that name things inside one process.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl $name {
            /// The id as an index into a table.
            #[inline]
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id! {
    /// A port of the configuration, by its position there.
    PortId(u16)
}
id! {
    /// A link: an Ethernet segment as a port meets it, untagged or by the tags of a VLAN. Its position in
    /// [`crate::snapshot::Snapshot::links`]: first one for the untagged frames of each port, with the port's own
    /// number, then the VLANs.
    LinkId(u16)
}
id! {
    /// A worker, by its position in `[cores] workers`.
    WorkerId(u16)
}
id! {
    /// A pool, by its position in the snapshot.
    PoolId(u16)
}
id! {
    /// A VIP, by its position in the snapshot.
    VipId(u16)
}
id! {
    /// A backend, unique in the process: it stands for (pool, name, address, port, mode) and is never reused
    /// while anything may still name it. At most [`MAX_BACKENDS`] are in use.
    BackendId(u16)
}

/// The most backend ids in use at once.
pub const MAX_BACKENDS: usize = 60_000;
