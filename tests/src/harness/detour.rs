//! A node behind a relay that can be made slow, so that an engine is slow which has no faults of its own to plant.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::cluster::{Cluster, node};
use super::engine::Engine;
use super::ports;
use super::process::Process;

/// Relays everything that comes to a node's address, until it is dropped.
#[derive(Debug)]
pub struct Detour {
    delay_ms: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Detour {
    /// Holds every answer back for so long from now on.
    pub fn delay(&self, by: Duration) {
        self.delay_ms.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Cluster {
    /// Restarts a node, with its disk, at another address, and relays to it whatever comes to the address that others
    /// know.
    ///
    /// # Errors
    /// When it does not come up again, or its address cannot be taken.
    pub async fn detour(&mut self, at: usize) -> anyhow::Result<Detour> {
        let known: reqwest::Url = self.nodes[at].part.url.parse()?;
        let known = SocketAddr::from(([127, 0, 0, 1], known.port().context("an address without a port")?));
        self.nodes[at].kill();
        let engine = self.options().engine.clone().map_or_else(Engine::find, Ok)?;
        let port = ports::free(1)?.into_iter().next().context("no port")?;
        self.nodes[at] = Process::start(node(&self.dir, at, port, &engine, self.options())?)?;
        let listener = TcpListener::bind(known).await?;
        let delay_ms = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(relay(listener, SocketAddr::from(([127, 0, 0, 1], port)), Arc::clone(&delay_ms)));
        self.node_up(at).await?;
        Ok(Detour { delay_ms, task })
    }
}

async fn relay(listener: TcpListener, to: SocketAddr, delay_ms: Arc<AtomicU64>) {
    while let Ok((caller, _)) = listener.accept().await {
        let delay_ms = Arc::clone(&delay_ms);
        tokio::spawn(async move {
            // Who does not get through is told by the end of the connection.
            let Ok(node) = TcpStream::connect(to).await else { return };
            let ((from_caller, to_caller), (from_node, to_node)) = (caller.into_split(), node.into_split());
            let asked = Arc::new(AtomicBool::new(false));
            tokio::join!(
                requests(from_caller, to_node, Arc::clone(&asked)),
                answers(from_node, to_caller, asked, delay_ms)
            );
        });
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: Arc<AtomicBool>) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(size @ 1..) = from.read(&mut piece).await {
        asked.store(true, Ordering::SeqCst);
        if to.write_all(&piece[..size]).await.is_err() {
            return;
        }
    }
}

/// The first piece of each answer waits.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: Arc<AtomicBool>, delay_ms: Arc<AtomicU64>) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(size @ 1..) = from.read(&mut piece).await {
        if asked.swap(false, Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(delay_ms.load(Ordering::SeqCst))).await;
        }
        if to.write_all(&piece[..size]).await.is_err() {
            return;
        }
    }
}
