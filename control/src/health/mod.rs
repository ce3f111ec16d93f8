//! Health: probes, dampening.
