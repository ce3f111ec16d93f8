//! What new connections of `fullnat` cost: `cargo run --release -p guideway-perf --example connections [KEY=NUMBER …]`.

use guideway_perf::connections::{Options, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options::default();
    for argument in std::env::args().skip(1) {
        let (key, number) = argument.split_once('=').ok_or("write KEY=NUMBER")?;
        match key {
            "rate" => options.rate = number.parse()?,
            "sources" => options.sources = number.parse()?,
            "backends" => options.backends = number.parse()?,
            "wave" => options.wave = number.parse()?,
            "warm_up" => options.warm_up = number.parse()?,
            "waves" => options.waves = number.parse()?,
            "sessions" => options.sessions = number.parse()?,
            "workers" => options.workers = number.parse()?,
            "rss" => options.rss = number.parse::<u8>()? > 0,
            other => return Err(format!("no such key: {other}").into()),
        }
    }
    #[cfg(feature = "dpdk")]
    let clock = guideway_dpdk::Tsc::calibrate();
    #[cfg(not(feature = "dpdk"))]
    let clock = guideway_perf::clock::Monotonic::default();
    println!("{}", run(&clock, &options)?);
    Ok(())
}
