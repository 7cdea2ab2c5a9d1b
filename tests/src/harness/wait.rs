//! Waiting for conditions.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::bail;

/// Asks until there is an answer, at most for `limit`.
///
/// # Errors
/// Names what did not come in time.
pub async fn until<T, F>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Option<T>>,
{
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        if began.elapsed() > limit {
            bail!("waited {limit:?} in vain for {what}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
