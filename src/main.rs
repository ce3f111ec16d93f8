//! The command line of Guideway: wiring only, one file a subcommand.

fn main() {}
