//! `[api]`: the control is open to nobody by oversight.

use crate::base::BASE;
use guideway_config::model::Listen;
use guideway_config::parse;

fn api(keys: &str) -> Result<Option<Listen>, String> {
    let parsed = parse(&format!("{BASE}\n[api]\n{keys}\n"), None);
    parsed
        .map(|parsed| parsed.config.listen)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn an_address_has_a_token_or_says_that_it_has_none() {
    assert_eq!(api(""), Ok(None));
    let listen = |address: &str, file: Option<&str>| {
        Ok(Some(Listen { address: address.parse().unwrap(), token_file: file.map(Into::into) }))
    };
    let file = "token_file = \"/etc/guideway/token\"";
    assert_eq!(api(&format!("listen = \"0.0.0.0:9400\"\n{file}")), listen("0.0.0.0:9400", Some("/etc/guideway/token")));
    assert_eq!(api("listen = \"[::1]:9400\"\ntoken = \"none\""), listen("[::1]:9400", None));
    for (keys, part) in [
        ("listen = \"127.0.0.1:9400\"", "`token_file = "),
        ("listen = \"10.0.0.1:9400\"\ntoken = \"none\"", "only a loopback address"),
        ("listen = \"127.0.0.1:9400\"\ntoken = \"secret\"", "no place in this file"),
        ("listen = \"localhost:9400\"\ntoken = \"none\"", "needs an address and a port"),
        ("listen = \"127.0.0.1\"\ntoken = \"none\"", "needs an address and a port"),
        ("listen = \"127.0.0.1:9400\"\ntoken_file = \"token\"", "absolute path"),
        ("token_file = \"/etc/guideway/token\"", "without `listen`"),
        ("token = \"none\"", "without `listen`"),
        (&format!("listen = \"127.0.0.1:9400\"\n{file}\ntoken = \"none\""), "both given"),
    ] {
        let error = api(keys).expect_err(keys);
        assert!(error.contains(part), "{keys}: {error}");
    }
}
