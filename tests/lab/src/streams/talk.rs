//! One side of a connection, client or server, that does what the plan says.

use super::{Plan, Side};
use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Barrier;

/// The most bytes that are written or read at a time.
const PIECE: usize = 16 << 10;

/// Where the two sides of a connection wait for each other, not by what they say to each other, so that both close at the
/// same moment.
#[derive(Clone, Debug, Default)]
pub struct Meetings(Arc<Mutex<Places>>);

/// Who waits for the other side, by client and VIP.
type Places = HashMap<(SocketAddr, SocketAddr), Arc<Barrier>>;

impl Meetings {
    /// Waits for the other side of a connection.
    async fn meet(&self, plan: &Plan) {
        self.place(plan).wait().await;
    }

    fn place(&self, plan: &Plan) -> Arc<Barrier> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (plan.client, plan.vip);
        // The second one takes it away.
        places.remove(&key).unwrap_or_else(|| {
            let place = Arc::new(Barrier::new(2));
            places.insert(key, Arc::clone(&place));
            place
        })
    }
}

/// Does what `plan` has for `side`, to the end of the stream in both directions.
pub(super) async fn talk(mut stream: TcpStream, plan: &Plan, side: Side, meetings: &Meetings) -> Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.split();
    let other = if side == Side::Client { Side::Server } else { Side::Client };
    let mut heard = Heard { reader, bytes: plan.bytes(other).collect(), at: 0 };
    let own: Vec<_> = plan.bytes(side).collect();
    match (plan.together, plan.first == side) {
        (true, first) => {
            if !first {
                heard.some().await?;
            }
            tokio::try_join!(say(&mut writer, &own), heard.all())?;
            meetings.meet(plan).await;
            writer.shutdown().await.context("cannot close")?;
            heard.end().await
        }
        (false, true) => {
            say(&mut writer, &own).await?;
            heard.all().await?;
            heard.end().await?;
            writer.shutdown().await.context("cannot close")
        }
        (false, false) => {
            heard.all().await?;
            say(&mut writer, &own).await?;
            writer.shutdown().await.context("cannot close")?;
            heard.end().await
        }
    }
}

async fn say(writer: &mut WriteHalf<'_>, bytes: &[u8]) -> Result<()> {
    for (piece, number) in bytes.chunks(PIECE).zip(0..) {
        let piece = writer.write_all(piece).await;
        piece.with_context(|| format!("cannot write behind {} of {} bytes", number * PIECE, bytes.len()))?;
    }
    Ok(())
}

/// What is heard, compared with what must be.
struct Heard<'a> {
    reader: ReadHalf<'a>,
    bytes: Vec<u8>,
    at: usize,
}

impl Heard<'_> {
    async fn all(&mut self) -> Result<()> {
        while self.at < self.bytes.len() {
            self.some().await?;
        }
        Ok(())
    }

    async fn some(&mut self) -> Result<()> {
        let (at, length) = (self.at, self.bytes.len());
        let mut piece = vec![0; PIECE.min(length - at)];
        let read = self.reader.read(&mut piece).await;
        let count = read.with_context(|| format!("cannot read behind {at} of {length} bytes"))?;
        ensure!(count > 0, "the end of the stream behind {at} of {length} bytes");
        ensure!(piece[..count] == self.bytes[at..][..count], "other bytes than were sent behind {at} of {length}");
        self.at += count;
        Ok(())
    }

    /// The stream ends here.
    async fn end(&mut self) -> Result<()> {
        let mut more = [0; 64];
        let count = self.reader.read(&mut more).await.context("no orderly end")?;
        ensure!(count == 0, "{count} bytes beyond the last one");
        Ok(())
    }
}
