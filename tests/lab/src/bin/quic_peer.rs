//! Both ends of the QUIC connections of a lab.

use anyhow::Result;
use clap::Parser;
use guideway_lab::quic::{ClientOptions, ServerOptions, migrate, serve};

/// A QUIC server with connection IDs that name it, and clients that change their address.
#[derive(Parser)]
enum Arguments {
    /// Answers with its name until it is killed.
    Server(ServerOptions),
    /// Makes connections, moves, and prints what became of them as JSON.
    Client(ClientOptions),
}

fn main() -> Result<()> {
    match Arguments::parse() {
        Arguments::Server(options) => serve(&options),
        Arguments::Client(options) => {
            println!("{}", serde_json::to_string(&migrate(&options)?)?);
            Ok(())
        }
    }
}
