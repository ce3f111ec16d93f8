//! One frame as text, for scripts and for a look without a terminal; and the rates as JSON.

use super::app::App;
use super::rates::{Flow, vip_key};
use super::view::draw;
use guideway_control::status::model::Status;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};

/// Width and height of the frame where nobody says.
pub(super) const SIZE: (u16, u16) = (160, 50);

/// The frame, without the spaces at the ends of its lines and without the empty lines at its end.
pub(super) fn text(app: &mut App, (width, height): (u16, u16)) -> anyhow::Result<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height))?;
    terminal.draw(|frame| draw(frame, app))?;
    let buffer = terminal.backend().buffer();
    let line = |y| -> String { (0..width).filter_map(|x| buffer.cell((x, y))).map(|cell| cell.symbol()).collect() };
    let lines: Vec<String> = (0..height).map(|y| line(y).trim_end().to_owned()).collect();
    let end = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    Ok(lines[..end].join("\n"))
}

/// The rates by second, with the names of what they are of.
pub(super) fn json(app: &App, status: &Status) -> Value {
    let rates = &app.rates;
    let of = |flow: Flow| json!({ "packets_per_second": flow.packets, "bits_per_second": flow.bits });
    let vips = status.vips.iter().zip(&rates.vips).map(|(vip, flow)| json!({ "vip": vip_key(vip), "rate": of(*flow) }));
    let pools = status.pools.iter().zip(&rates.backends).enumerate().map(|(index, (pool, flows))| {
        let backends = pool.backends.iter().zip(flows);
        let backends = backends.map(|(backend, flow)| {
            json!({ "backend": backend.name, "address": backend.address, "state": backend.state, "rate": of(*flow) })
        });
        json!({ "pool": pool.name, "rate": of(rates.pool(index)), "backends": backends.collect::<Vec<_>>() })
    });
    let workers = status.workers.iter().zip(&rates.workers).map(|(worker, work)| {
        json!({
            "core": worker.core,
            "busy_share": work.busy,
            "burst_fill": work.fill,
            "received_per_second": work.received,
            "sent_per_second": work.sent,
            "dropped_per_second": work.dropped,
        })
    });
    json!({
        "received_per_second": rates.received,
        "sent_per_second": rates.sent,
        "dropped_per_second": rates.dropped,
        "bits_per_second": rates.bits,
        "drops_per_second": rates.drops,
        "vips": vips.collect::<Vec<_>>(),
        "pools": pools.collect::<Vec<_>>(),
        "workers": workers.collect::<Vec<_>>(),
    })
}
