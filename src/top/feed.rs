//! Asks the running process, on a thread of its own: a process that answers late does not hold up keys.

use super::app::{Order, Verb};
use anyhow::Context;
use guideway_control::api::client::{Client, ClientError};
use guideway_control::status::model::Status;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// What comes from the running process.
pub(super) enum News {
    /// How things are.
    Status(Box<Status>),
    /// What came of a change.
    Done(String),
    /// Why there is nothing new.
    Failed(String),
}

/// The way to the thread. It ends with this.
pub(super) struct Feed {
    pub(super) orders: Sender<Order>,
    pub(super) news: Receiver<News>,
}

impl Feed {
    /// Asks the process behind `socket` every `interval`.
    pub(super) fn start(socket: &Path, interval: Duration) -> anyhow::Result<Self> {
        let (orders, ordered) = channel();
        let (teller, news) = channel();
        let client = Client::new(socket)?;
        let thread = std::thread::Builder::new().name("gw-top-feed".to_owned());
        thread.spawn(move || feed(&client, interval, &ordered, &teller)).context("cannot start a thread")?;
        Ok(Self { orders, news })
    }
}

fn feed(client: &Client, interval: Duration, ordered: &Receiver<Order>, teller: &Sender<News>) {
    loop {
        let asked = Instant::now();
        let news = match client.status() {
            Ok(status) => News::Status(Box::new(status)),
            Err(error) => News::Failed(error.to_string()),
        };
        if teller.send(news).is_err() {
            return;
        }
        match ordered.recv_timeout(interval.saturating_sub(asked.elapsed())) {
            Ok(order) => {
                if teller.send(News::Done(told(&order, change(client, &order)))).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The state of the backend after the change; `None` if it is gone.
fn change(client: &Client, order: &Order) -> Result<Option<String>, ClientError> {
    let Order { verb, pool, backend } = order;
    let changed = match verb {
        Verb::Drain => client.drain(pool, backend, false)?,
        Verb::Enable => client.enable(pool, backend)?,
    };
    Ok(changed.backend.map(|backend| backend.state))
}

fn told(order: &Order, came: Result<Option<String>, ClientError>) -> String {
    match came {
        Ok(Some(state)) => format!("{order}: it is {state}"),
        Ok(None) => format!("{order}: it is gone"),
        Err(error) => format!("{order}: {error}"),
    }
}
