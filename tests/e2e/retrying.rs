//! A client that tries again, as browsers and well-made programs do.

use anyhow::{Context, Result, anyhow};
use guideway_lab::{Lab, Namespace};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

/// curl in a loop, each with retries; dropped means asked to stop.
pub struct Retrying {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<u64>>>,
}

impl Retrying {
    /// Starts the client.
    pub fn start(lab: &Lab, target: SocketAddr) -> Result<Self> {
        let mut client = Namespace::adopt(lab.client().name())?;
        client.keep();
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stop);
        let thread = std::thread::spawn(move || request_until(&client, target, &theirs));
        Ok(Self { stop, thread: Some(thread) })
    }

    /// The number of requests; an error if one of them failed in spite of all retries.
    pub fn stop(mut self) -> Result<u64> {
        self.stop.store(true, Relaxed);
        let thread = self.thread.take().context("stopped before")?;
        thread.join().map_err(|_| anyhow!("the retrying client panicked"))?
    }
}

impl Drop for Retrying {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

fn request_until(client: &Namespace, target: SocketAddr, stop: &AtomicBool) -> Result<u64> {
    let url = format!("http://{target}/");
    let patience = ["-sS", "--fail", "--retry", "8", "--retry-all-errors", "--retry-delay", "1", "--max-time", "60"];
    let mut requests = 0;
    while !stop.load(Relaxed) {
        client.exec("curl", &[&patience[..], &[&url]].concat()).context("a client that retries")?;
        requests += 1;
    }
    Ok(requests)
}
