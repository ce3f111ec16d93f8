//! The description: what is served is in it, and what is answered is as it says.

use super::site::Site;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const BACKENDS: &str = "/v1/pools/{pool}/backends";

fn description(site: &Site) -> Value {
    let (code, body) = site.raw("GET", "/v1/openapi.json", "");
    assert_eq!(code, 200);
    serde_json::from_str(&body).expect("JSON")
}

/// Fails unless an answer is as the description says for this operation and code.
fn conforms(api: &Value, operation: (&str, &str), (code, body): &(u16, String)) {
    let (method, path) = operation;
    let of_code = &api["paths"][path][method]["responses"][code.to_string()];
    let schema = &of_code["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {path}: {code} is not described: {body}");
    let whole = json!({ "allOf": [schema], "components": api["components"] });
    let validator = jsonschema::draft202012::new(&whole).expect("a schema");
    let body: Value = serde_json::from_str(body).expect("JSON");
    let errors: Vec<String> = validator.iter_errors(&body).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{method} {path}: {code}: {errors:#?}");
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let site = Site::start();
    let api = description(&site);
    assert!(api["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", api["openapi"]);
    let described: BTreeSet<(String, String)> = api["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, methods)| methods.as_object().into_iter().flatten().map(move |m| (m.0.clone(), path.clone())))
        .collect();
    // A route with another method is there all the same, and says so; one that is not there is 404 without a body.
    for (method, path) in &described {
        let real = path.replace("{pool}", "web").replace("{backend}", "web1");
        assert_eq!(site.raw("OPTIONS", &real, "").0, 405, "{method} {path} is no route");
    }
    let source = concat!(
        include_str!("../../src/api/mod.rs"),
        include_str!("../../src/api/backends.rs"),
        include_str!("../../src/api/node.rs"),
        include_str!("../../src/api/reload.rs")
    );
    assert_eq!(described.len(), source.matches("routes!(").count(), "each route is made with its description");
    assert_eq!(source.matches(".route(").count(), 0, "and none without");
}

#[test]
fn answers_are_as_they_are_described() {
    let site = Site::start();
    let api = description(&site);
    let ask = |method: &str, path: &str, body: &str, real: &str, expected: u16| {
        let answer = site.raw(&method.to_uppercase(), real, body);
        assert_eq!(answer.0, expected, "{method} {real}: {}", answer.1);
        conforms(&api, (method, path), &answer);
    };
    let of = |name: &str| format!("{BACKENDS}/{{backend}}{name}");
    let web = |name: &str| format!("/v1/pools/web/backends/{name}");
    ask("get", "/v1/status", "", "/v1/status", 200);
    ask("get", "/v1/pools/{pool}", "", "/v1/pools/checked", 200);
    ask("get", "/v1/pools/{pool}", "", "/v1/pools/nobody", 404);
    ask("get", "/v1/openapi.json", "", "/v1/openapi.json", 200);
    ask("post", &of("/drain"), "", &web("web2/drain"), 200);
    ask("post", &of("/drain"), "{\"force\": 7}", &web("web2/drain"), 400);
    ask("post", &of("/enable"), "", &web("web2/enable"), 200);
    ask("post", &of("/disable"), "", &web("nobody/disable"), 404);
    ask("post", &of("/disable"), "", &web("web2/disable"), 200);
    ask("post", &of("/weight"), "{\"weight\": 5}", &web("web1/weight"), 200);
    ask("post", &of("/weight"), "{\"weight\": 70000}", &web("web1/weight"), 422);
    ask("post", BACKENDS, "{\"name\": \"web4\", \"address\": \"10.0.0.14\"}", "/v1/pools/web/backends", 200);
    ask("post", BACKENDS, "{\"name\": \"web4\", \"address\": \"10.0.0.14\"}", "/v1/pools/web/backends", 409);
    ask("delete", &of(""), "", &web("web3?force=true"), 200);
    ask("delete", &of(""), "", &web("web3?force=perhaps"), 400);
    ask("delete", "/v1/drain", "", "/v1/drain", 409);
    ask("post", "/v1/drain", "{\"quiet_seconds\": -1}", "/v1/drain", 422);
    ask("post", "/v1/drain", "{\"after\": 1}", "/v1/drain", 400);
    ask("post", "/v1/drain", "", "/v1/drain", 200);
    ask("get", "/v1/status", "", "/v1/status", 200);
    ask("delete", "/v1/drain", "", "/v1/drain", 200);
    ask("get", "/v1/changes", "", "/v1/changes", 200);
    ask("post", "/v1/reload", "", "/v1/reload", 200);
    ask("post", "/v1/reload", "[1]", "/v1/reload", 400);
    site.edit(&[("name = \"web\"", "name = \"web\"\ntable_size = 4093")]);
    ask("post", "/v1/reload", "", "/v1/reload", 409);
    site.edit(&[("table_size", "table_syze")]);
    ask("post", "/v1/reload", "", "/v1/reload", 422);
}
