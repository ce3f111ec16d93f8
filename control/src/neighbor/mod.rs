//! Neighbours: ARP, NDP, and what the control side answers itself.
