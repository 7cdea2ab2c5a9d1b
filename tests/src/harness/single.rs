//! One node alone, as something to compare clusters with.

use tempfile::TempDir;

use super::client::Client;
use super::cluster::{Options, await_url, node};
use super::engine::Engine;
use super::ports;
use super::process::Process;

/// A node that runs by itself. Dropping it kills it.
#[derive(Debug)]
pub struct Single {
    /// The process.
    pub process: Process,
    key: Option<String>,
    _data: TempDir,
}

impl Single {
    /// Starts a node and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(engine: &Engine, master_key: Option<&str>) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let port = ports::free(1)?.into_iter().next().unwrap_or_default();
        let options = Options { master_key: master_key.map(str::to_owned), ..Options::default() };
        let mut process = Process::start(node(data.path(), 0, port, engine, &options)?)?;
        let url = format!("{}/health", process.part.url);
        await_url(&mut process, &url).await?;
        Ok(Self { process, key: options.master_key, _data: data })
    }

    /// A client with the master key.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.process.part.url, self.key.as_deref())
    }
}
