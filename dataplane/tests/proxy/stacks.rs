//! A client and a server.
