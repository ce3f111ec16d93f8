//! Files of the largest size that the design promises.

use guideway_config::parse;
use std::fmt::Write;

const HEAD: &str = r#"
[fleet]
hash_key = "5d1f40b27ce8936a80a1c7f2934be6d0"
[cores]
control = 0
workers = [1]
[[port]]
name = "edge"
device = "net_null0"
mtu = 1520
[[interface]]
port = "edge"
addresses = ["10.0.0.1/8"]
"#;

/// `pools` pools with `backends` backends each, and a VIP for each pool.
fn source(pools: usize, backends: usize) -> String {
    let mut text = HEAD.to_owned();
    for pool in 0..pools {
        writeln!(text, "[[pool]]\nname = \"pool{pool}\"\nforward = \"ipip\"").expect("text");
        for backend in 0..backends {
            let number = 256 + pool * backends + backend;
            let (high, middle, low) = (number >> 16, number >> 8 & 255, number & 255);
            let name = format!("name = \"b{backend}\"\naddress = \"10.{high}.{middle}.{low}\"");
            writeln!(text, "[[pool.backend]]\n{name}\nweight = 10").expect("text");
        }
    }
    for vip in 0..pools {
        let address = format!("203.0.{}.{}", vip >> 8, vip & 255);
        let vip = format!("address = \"{address}\"\nprotocol = \"tcp\"\nport = 443\npool = \"pool{vip}\"");
        writeln!(text, "[[vip]]\n{vip}").expect("text");
    }
    text
}

/// 1,000 VIPs and 10,000 backends: a quadratic step would cost 10^8 comparisons and be felt here.
#[test]
fn a_thousand_vips_and_ten_thousand_backends() {
    let parsed = parse(&source(1000, 10), None).unwrap_or_else(|errors| panic!("{:#?}", &errors[..1]));
    assert_eq!(parsed.config.vips.len(), 1000);
    assert_eq!(parsed.config.pools.iter().map(|pool| pool.backends.len()).sum::<usize>(), 10_000);
    assert_eq!(parsed.warnings, []);
}

/// Each range compared with each other one of its address would be 10^8 comparisons.
#[test]
fn as_many_ranges_of_one_address_as_vips() {
    let mut text = source(1, 1);
    for range in 0..16_000 {
        let (low, high) = (range * 4 + 1, range * 4 + 4);
        let port = format!("port = \"{low}-{high}\"");
        writeln!(text, "[[vip]]\naddress = \"198.18.0.0/15\"\nprotocol = \"udp\"\n{port}\npool = \"pool0\"")
            .expect("text");
    }
    assert_eq!(parse(&text, None).expect("ranges that touch").config.vips.len(), 16_001);
    let errors = parse(&text.replace("\"1-4\"", "\"1-65535\""), None).expect_err("one range over all others");
    assert_eq!(errors.len(), 15_999);
}

#[test]
fn as_many_mistakes_as_backends() {
    let source = source(1, 10_000).replace("weight = 10", "wieght = 10");
    let errors = parse(&source, None).expect_err("10,000 unknown keys");
    assert_eq!(errors.len(), 10_000);
    assert!(errors[9_999].to_string().contains("did you mean `weight`?"));
}

/// Each unknown name compared with each known one would be 10^8 comparisons of words.
#[test]
fn as_many_unknown_pools_as_vips() {
    let errors =
        parse(&source(10_000, 1).replace("pool = \"pool", "pool = \"pol"), None).expect_err("10,000 unknown pools");
    assert_eq!(errors.len(), 10_000);
    assert!(errors[0].to_string().contains("did you mean \"pool"), "{}", errors[0]);
    assert!(errors[9_999].to_string().contains("define it with [[pool]]"), "{}", errors[9_999]);
}

#[test]
fn large_pools_take_the_last_table_size() {
    let size = |backends| parse(&source(1, backends), None).expect("good").config.pools[0].table_size;
    assert_eq!(size(655), 65537);
    assert_eq!(size(656), 65537);
    assert_eq!(size(163), 16381);
}

#[test]
fn limits() {
    let errors = parse(&source(1, 32_768), None).expect_err("32,768 backends");
    assert!(
        errors.iter().any(|error| error.message.contains("at most 32767 backends, this one has 32768")),
        "{errors:?}"
    );
    assert!(parse(&source(20, 3_000), None).is_ok());
    let errors = parse(&source(2, 30_001), None).expect_err("60,002 backends");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].message.contains("at most 60000 backends, this one has 60002"), "{}", errors[0]);
    assert!(parse(&source(16_384, 1), None).is_ok());
    let errors = parse(&source(16_385, 1), None).expect_err("16,385 VIPs");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].message.contains("at most 16384 VIPs, this one has 16385"), "{}", errors[0]);
}
