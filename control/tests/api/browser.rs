//! A Chromium without a window, driven by chromedriver (WebDriver, and its way to Chromium's DevTools).

use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// For whatever must come sooner or later on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A browser; dropped means closed.
pub struct Browser {
    pub page: Client,
    driver: Driver,
}

/// Killed when dropped; Chromium ends with it.
struct Driver {
    process: Child,
    _profile: TempDir,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command of chromedriver's own.
#[derive(Debug)]
struct Own {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _url: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

impl Browser {
    /// Starts one with an empty profile.
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let process = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver (scripts/setup installs it)");
        let driver = Driver { process, _profile: profile };
        let data = format!("--user-data-dir={}", driver._profile.path().display());
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", &data];
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let Value::Object(wanted) = wanted else { unreachable!() };
        let begun = std::time::Instant::now();
        let page = loop {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            match builder.capabilities(wanted.clone()).connect(&format!("http://127.0.0.1:{port}")).await {
                Ok(page) => break page,
                Err(error) if begun.elapsed() > PATIENCE => panic!("no browser: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        Self { page, driver }
    }

    /// Ends it in order.
    pub async fn close(self) {
        self.page.close().await.expect("a browser");
        drop(self.driver);
    }

    async fn own(&self, path: &'static str, body: Value) -> Value {
        self.page.issue_cmd(Own { path, body }).await.expect("an answer of chromedriver")
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.own("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// A screen of this size in pixels of CSS, and what its owner prefers.
    pub async fn look_like(&self, (width, height): (u32, u32), phone: bool, dark: bool) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// What the console has said since the last call.
    pub async fn console(&self) -> Vec<String> {
        let log = self.own("se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().expect("a list").iter();
        entries.map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect()
    }

    /// The addresses that pages have asked for since the last call.
    pub async fn requests(&self) -> Vec<String> {
        let log = self.own("se/log", json!({ "type": "performance" })).await;
        let messages = log.as_array().expect("a list").iter().filter_map(|entry| entry["message"].as_str());
        let events = messages.map(|text| serde_json::from_str::<Value>(text).expect("JSON")["message"].take());
        let asked = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        asked.filter_map(|event| event["params"]["request"]["url"].as_str().map(str::to_owned)).collect()
    }

    /// What a script returns.
    pub async fn run(&self, script: &str) -> Value {
        self.page.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until a script returns `true`.
    pub async fn wait_until(&self, script: &str) {
        let begun = std::time::Instant::now();
        while self.run(&format!("return Boolean({script})")).await != Value::Bool(true) {
            if begun.elapsed() > PATIENCE {
                let text = self.run("return document.body.innerText.slice(0, 3000)").await;
                panic!(
                    "not within {PATIENCE:?}: {script}\n{}\n{:?}",
                    text.as_str().unwrap_or(""),
                    self.console().await
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn find(&self, css: &str) -> Element {
        self.page.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Opens the page at an address.
    pub async fn open(&self, address: SocketAddr) {
        self.page.goto(&format!("http://{address}/")).await.expect("a page");
    }
}
