//! What the design has and this version does not build is refused by its name, at its place.

use crate::base::edited;
use guideway_config::parse;

/// Each edit gives one error at that place, which says what is not built yet and what to do.
#[test]
fn refused_by_name() {
    let port = |line: &str| format!("name = \"edge\"\n{line}");
    let cases: &[(&str, String, &str, &str)] = &[
        ("name = \"edge\"", port("bond = { mode = \"802.3ad\" }"), "10:1", "`bond`"),
        ("device = \"net_af_xdp0,iface=gw0\"", "bond = {}".into(), "10:1", "`bond`"),
    ];
    for (from, to, position, what) in cases {
        let errors = parse(&edited(&[(from, to)]), None).expect_err(to);
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 1, "{to} gives {shown:#?}");
        let expected = format!("{position}: error: {what} is not built yet; help: ");
        assert!(shown[0].starts_with(&expected), "{:?} is not {expected:?}", shown[0]);
    }
}

#[test]
fn words_that_name_what_is_built_are_accepted() {
    let source = edited(&[
        ("forward = \"ipip\"", "forward = \"ipip\"\ntracking = \"transition\""),
        ("port = 80 }", "port = 80, via = \"dataplane\" }"),
        ("pool = \"web\"", "pool = \"web\"\naffinity = \"none\""),
    ]);
    assert!(parse(&source, None).is_ok());
}
