//! The status page in a real browser.

use crate::browser::Browser;
use crate::site::{ARM, Site};
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use guideway_control::api::router;
use guideway_control::status::model::Status;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const WIDE: (u32, u32) = (1_280, 1_600);
const PHONE: (u32, u32) = (390, 844);
/// A name that would be markup, script and an attribute where it is not text.
const HOSTILE: &str =
    "<img src=x onerror=\"document.title='broken'\">'\"&amp;</script><script>document.title='broken'</script>";

fn run<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

/// Serves routes at a TCP address: a browser opens no unix sockets.
fn serve(routes: Router) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        run(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, routes).await.expect("it serves for ever");
        });
    });
    address
}

/// No console message, and no request but to the page's own address.
async fn is_quiet(browser: &Browser, address: SocketAddr) {
    assert_eq!(browser.console().await, Vec::<String>::new());
    let own = format!("http://{address}/");
    let requests = browser.requests().await;
    assert!(requests.iter().any(|url| *url == format!("{own}v1/status")), "{requests:?}");
    // A new tab is no page of ours, and "data:" leaves the machine for nobody.
    let foreign = |url: &&String| !(url.starts_with(&own) || url.starts_with("data:") || url.starts_with("chrome:"));
    assert_eq!(requests.iter().filter(foreign).collect::<Vec<_>>(), Vec::<&String>::new());
}

async fn screenshot(browser: &Browser, name: &str) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}.png"));
    let image = browser.page.screenshot().await.expect("an image");
    assert!(image.starts_with(b"\x89PNG"));
    std::fs::write(path, image).expect("a folder");
}

#[test]
fn it_shows_what_the_api_says_and_follows_changes() {
    let site = Site::start();
    let address = serve(router(site.handles.clone()));
    run(async {
        let browser = Browser::start().await;
        browser.open(address).await;
        browser.wait_until("document.querySelector('#live').textContent === 'live'").await;
        let text = browser.run("return document.body.innerText").await;
        let text = text.as_str().expect("a text");
        for part in ["203.0.113.10", "web/web1", "checked/10.0.0.21", "quic", "edge", "nothing was dropped", "at rest"]
        {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
        let client = site.handles.clone();
        client
            .control
            .lock()
            .expect("no panic")
            .change("web", "web2", guideway_control::state::Change::Drain { force: false }, (client.clock)())
            .expect("it is there");
        site.run(ARM / 2);
        browser.wait_until("/web\\/web2[^]*?draining/.test(document.querySelector('#backends').innerText)").await;
        browser.wait_until("/[1-9][0-9]* armed/.test(document.querySelector('#pools').innerText)").await;
        browser.wait_until("document.querySelector('#rates .line').getAttribute('d')").await;

        // By keyboard alone: to the history of a backend and back.
        browser.run("document.querySelector('#backends tbody button').focus()").await;
        let focused = browser.page.active_element().await.expect("one");
        focused.send_keys("\u{e007}").await.expect("Enter");
        browser.wait_until("document.querySelector('#history').open").await;
        browser.wait_until("!document.querySelector('#history-body').innerText.includes('asking')").await;
        let title = browser.run("return document.querySelector('#history-title').textContent").await;
        assert_eq!(title, "web/web1");
        let escape = browser.page.active_element().await.expect("one");
        escape.send_keys("\u{e00c}").await.expect("Escape");
        browser.wait_until("!document.querySelector('#history').open").await;

        let console = browser.console().await;
        let other = |line: &&String| !line.contains("/history");
        assert_eq!(console.iter().filter(other).collect::<Vec<_>>(), Vec::<&String>::new());
        browser.close().await;
    });
}

/// A status with 10,000 backends, one of them with a hostile name, whose counters move on with each call.
fn large(template: &Status, calls: u64) -> Status {
    let mut status = template.clone();
    status.pid = 4_711;
    status.uptime_seconds = 100_000.0 + calls as f64;
    let wave = |n: u64| (1_000.0 * (2.0 + ((calls + 7 * n) as f64 / 5.0).sin())) as u64;
    let vip = status.vips[0].clone();
    status.vips = (0..40)
        .map(|n| {
            let mut vip = vip.clone();
            vip.address = format!("203.0.113.{n}/32");
            vip.serving = n != 3;
            vip.traffic.packets = calls * 2_500 + wave(n);
            vip.traffic.bytes = vip.traffic.packets * 600;
            vip
        })
        .collect();
    let pool = status.pools[0].clone();
    let states = ["up", "up", "up", "up", "up", "up", "down", "draining", "drained", "unknown"];
    status.pools = (0..10)
        .map(|number| {
            let mut pool = pool.clone();
            pool.name = format!("pool{number}");
            let backend = pool.backends[0].clone();
            pool.backends = (0..1_000)
                .map(|n: u64| {
                    let mut backend = backend.clone();
                    backend.name = format!("web{n}");
                    backend.address = format!("10.{number}.{}.{}", n / 250, n % 250 + 1);
                    states[(n % 10) as usize].clone_into(&mut backend.state);
                    backend.traffic.packets = calls * (n + 1);
                    backend.traffic.bytes = calls * (n + 1) * 700;
                    backend
                })
                .collect();
            pool
        })
        .collect();
    HOSTILE.clone_into(&mut status.pools[0].backends[0].name);
    status.pools[1].transition.armed = 120;
    status.pools[1].transition.waiting = Some("arming".to_owned());
    status.drops = [("no_backend".to_owned(), calls * 20), ("runt".to_owned(), 3)].into();
    status.packets.received = calls * 100_000 + 40 * wave(0);
    status.packets.dropped = calls * 20;
    for worker in &mut status.workers {
        worker.packets.received = status.packets.received;
        worker.bursts = calls * 5_000;
        worker.seconds = calls as f64;
        worker.busy_seconds = 0.4 * calls as f64;
    }
    status.warnings =
        vec![format!("pool0/{HOSTILE}: its next hop does not answer ARP or NDP; packets to it are dropped")];
    status
}

/// A history as an API gives it that keeps one.
async fn history(Path((pool, backend)): Path<(String, String)>) -> Result<Json<Value>, StatusCode> {
    if pool != "pool0" || backend != HOSTILE {
        return Err(StatusCode::NOT_FOUND);
    }
    let result = |n: u32| {
        let (result, reason) =
            if n % 9 == 4 { ("failed", json!("connection refused")) } else { ("passed", json!("answered")) };
        json!({ "at_unix": 1.7e9 - f64::from(n), "took_microseconds": 200 + 40 * (n % 7), "result": result, "reason": reason, "detail": HOSTILE })
    };
    let results: Vec<Value> = (0..50).map(result).collect();
    Ok(Json(json!([{ "kind": "tcp", "via": "dataplane", "port": 80, "results": results }])))
}

#[test]
fn ten_thousand_backends_with_any_name_on_any_screen() {
    let site = Site::start();
    let template = site.client.status().expect("a status");
    let calls = Arc::new(AtomicU64::new(1));
    let status = move || {
        let status = large(&template, calls.fetch_add(1, Relaxed));
        async move { Json(status) }
    };
    let routes = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/pools/{pool}/backends/{backend}/history", get(history))
        .fallback_service(router(site.handles.clone()));
    let address = serve(routes);
    run(async {
        let browser = Browser::start().await;
        browser.look_like(WIDE, false, false).await;
        browser.open(address).await;
        browser.wait_until("document.querySelector('#backends .count').textContent.startsWith('10000')").await;
        browser.wait_until("rates.seconds > 0 && plots.received.values.length > 5").await;
        let rows = browser.run("return document.querySelectorAll('#backends tbody tr').length").await;
        assert_eq!(rows, 25, "only those of a page are in the document");
        let name = browser.run("return document.querySelector('#backends tbody td').textContent").await;
        assert_eq!(name, format!("pool0/{HOSTILE}"), "a name is text");
        let markup = "document.querySelectorAll('main img, header img, main script').length";
        assert_eq!(browser.run(&format!("return {markup}")).await, 0);
        screenshot(&browser, "wide-light").await;
        browser.look_like(WIDE, false, true).await;
        screenshot(&browser, "wide-dark").await;

        // Filter, order and pages.
        let filter = browser.find("#backends input").await;
        filter.send_keys("pool7/web99").await.expect("keys");
        browser.wait_until("document.querySelector('#backends .count').textContent === '11 of 10000'").await;
        filter.clear().await.expect("an empty filter");
        browser.run("const f = document.querySelector('#backends input'); f.value = 'held'; f.dispatchEvent(new Event('input'))").await;
        browser
            .wait_until("document.querySelector('#backends .count').textContent === 'nothing passes the filter'")
            .await;
        browser.run("const f = document.querySelector('#backends input'); f.value = ''; f.dispatchEvent(new Event('input'))").await;
        browser.run("document.querySelectorAll('#backends th button')[5].focus()").await;
        browser.page.active_element().await.expect("one").send_keys("\u{e007}").await.expect("Enter");
        browser.wait_until("/web999$/.test(document.querySelector('#backends tbody td').textContent)").await;
        assert_eq!(browser.run("return document.querySelectorAll('#backends [aria-sort]').length").await, 1);
        browser.run("document.querySelector('#backends [aria-label$=\"next page\"]').click()").await;
        browser.wait_until("document.querySelector('#backends .count').textContent.endsWith('page 2 of 400')").await;
        browser.run("document.querySelectorAll('#backends th button')[5].click()").await;
        browser.run("document.querySelectorAll('#backends th button')[5].click()").await;
        browser.run("lists.backends.page = 0; lists.backends.show()").await;
        browser.wait_until("plots.received.values.length > 12").await;
        browser.run("document.querySelector('#backends').scrollIntoView()").await;
        screenshot(&browser, "wide-backends").await;

        // A history that the API keeps.
        browser.run("document.querySelector('#backends tbody button').click()").await;
        browser.wait_until("document.querySelectorAll('#history-body rect').length === 50").await;
        browser.wait_until("document.querySelector('#history-body').innerText.includes('5 failed') || document.querySelector('#history-body').innerText.includes('6 failed')").await;
        screenshot(&browser, "wide-history").await;
        browser.run("document.querySelector('#history-close').click()").await;

        browser.look_like(PHONE, true, false).await;
        let wider = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
        assert_eq!(browser.run(&format!("return {wider}")).await, false, "nothing hangs out of a phone's screen");
        let fits = "[...document.querySelectorAll('#warnings, figure, td')].every(part => part.scrollWidth <= part.clientWidth)";
        assert_eq!(browser.run(&format!("return {fits}")).await, true, "and nothing out of its box");
        browser.run("window.scrollTo(0, 0)").await;
        screenshot(&browser, "phone-light").await;
        browser.look_like(PHONE, true, true).await;
        browser.run("document.querySelector('#backends').scrollIntoView()").await;
        screenshot(&browser, "phone-dark").await;
        assert_eq!(browser.page.title().await.expect("a title"), "Guideway", "no name ran as script");
        is_quiet(&browser, address).await;
        browser.close().await;
    });
}

#[test]
fn a_token_is_asked_for_where_the_api_asks_for_one() {
    async fn admit(headers: HeaderMap, request: Request, next: Next) -> Result<Response, StatusCode> {
        let shown = headers.get(header::AUTHORIZATION).is_some_and(|value| value == "Bearer sesame");
        let open = shown || request.uri().path() == "/";
        if open { Ok(next.run(request).await) } else { Err(StatusCode::UNAUTHORIZED) }
    }
    let site = Site::start();
    let address = serve(router(site.handles.clone()).layer(from_fn(admit)));
    run(async {
        let browser = Browser::start().await;
        browser.open(address).await;
        browser.wait_until("!document.querySelector('#token').hidden").await;
        let field = browser.find("#token input").await;
        field.send_keys("sesame\u{e007}").await.expect("keys");
        browser.wait_until("document.querySelector('#live').textContent === 'live'").await;
        assert_eq!(browser.run("return document.querySelector('#token').hidden").await, true);
        assert_eq!(browser.run("return location.search").await, "", "it is in no address");
        browser.close().await;
    });
}

#[test]
fn the_page_is_one_file_under_a_strict_policy() {
    let site = Site::start();
    let (code, head, text) = site.exchange("GET", "/", "", "");
    assert_eq!(code, 200);
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).expect("a policy");
    let nonce = policy.split("script-src 'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
    assert_eq!(nonce.len(), 32);
    for part in
        ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert_eq!(text.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    let (_, again, _) = site.exchange("GET", "/", "", "");
    assert!(!again.contains(nonce), "a nonce is for one answer");
    for part in ["x-content-type-options: nosniff", "cache-control: no-store", "referrer-policy: no-referrer"] {
        assert!(head.contains(part), "{head}");
    }
    // Nothing of another host, no handler in an attribute, and no way for a string to become markup.
    let urls: Vec<&str> =
        text.split("http").skip(1).filter(|rest| rest.starts_with("://") || rest.starts_with("s://")).collect();
    assert!(urls.iter().all(|rest| rest.starts_with("://www.w3.org/2000/svg\"")), "{urls:?}");
    for part in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        " onclick",
        " onload",
        "javascript:",
    ] {
        assert!(!text.contains(part), "{part}");
    }
}
