//! The laboratory of the end-to-end tests: network namespaces, peers, captures.
