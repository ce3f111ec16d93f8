//! Raw bindings to the installed libdpdk, found by pkg-config.
