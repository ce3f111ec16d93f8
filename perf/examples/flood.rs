//! What a flood of SYNs does to others: `cargo run --release -p guideway-perf --example flood [KEY=NUMBER …]`.

use guideway_perf::connections::flood::{Flood, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut flood = Flood::default();
    for argument in std::env::args().skip(1) {
        let (key, number) = argument.split_once('=').ok_or("write KEY=NUMBER")?;
        match key {
            "syns" => flood.syns = number.parse()?,
            "packets" => flood.packets = number.parse()?,
            "connections" => flood.connections = number.parse()?,
            "millis" => flood.millis = number.parse()?,
            "visitors" => flood.visitors = number.parse()?,
            other => return Err(format!("no such key: {other}").into()),
        }
    }
    #[cfg(feature = "dpdk")]
    let clock = guideway_dpdk::Tsc::calibrate();
    #[cfg(not(feature = "dpdk"))]
    let clock = guideway_perf::clock::Monotonic::default();
    println!("{}", run(&clock, &flood)?);
    Ok(())
}
