//! Leadership among controls that share a Redis: one key with a time to live. Who holds it leads. Every write to the
//! store names the holder and is refused to anybody else (`remote`), and nodes are fenced by each new leader (F15), so
//! that a leader which does not yet know that it has been replaced can do nothing.

use std::time::{Duration, Instant};

use redis::Script;
use redis::aio::ConnectionManager;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{RedisLocation, StoreError};

const RENEW: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Longest wait for the store's word on who leads.
const CONFIRM: Duration = Duration::from_secs(1);

/// Leadership. Renewed in the background until it is released or lost.
#[derive(Clone, Debug)]
pub struct Lease {
    location: RedisLocation,
    holder: String,
    lost: CancellationToken,
    over: CancellationToken,
}

impl Lease {
    /// Waits until this control leads. `name` tells operators who holds the lease.
    ///
    /// # Errors
    /// A location that is none. A Redis that cannot be reached is waited for.
    pub async fn wait_for(location: &RedisLocation, name: &str) -> Result<Self, StoreError> {
        let holder = format!("{name}/{}", uuid::Uuid::new_v4());
        let pause = Duration::from_millis(location.lease_ms / 5);
        let mut connection = None;
        let mut told = false;
        let taken = loop {
            let asked = Instant::now();
            match take(location, &holder, &mut connection).await {
                Ok(true) => break asked,
                Ok(false) if told => {}
                Ok(false) => {
                    info!("another control leads: standing by");
                    told = true;
                }
                Err(error) => {
                    warn!(%error, "the store cannot be reached");
                    connection = None;
                }
            }
            tokio::time::sleep(pause).await;
        };
        info!(holder, "leading");
        let lease =
            Self { location: location.clone(), holder, lost: CancellationToken::new(), over: CancellationToken::new() };
        tokio::spawn(lease.clone().renew(taken));
        Ok(lease)
    }

    /// What the key holds while this control leads.
    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    /// Ends when leadership is lost: nothing may be done from then on.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Asks the store whether this control leads at this moment. False also where the store does not say.
    pub(super) async fn holds(&self, kept: &mut Option<ConnectionManager>) -> bool {
        if self.lost.is_cancelled() {
            return false;
        }
        let ask = async {
            let connection = open(&self.location, kept).await?;
            redis::cmd("GET").arg(self.location.key("leader")).query_async::<Option<String>>(connection).await
        };
        match tokio::time::timeout(CONFIRM, ask).await {
            Ok(Ok(holder)) => holder.as_deref() == Some(self.holder.as_str()),
            Ok(Err(_)) | Err(_) => {
                *kept = None;
                false
            }
        }
    }

    /// Gives leadership up, so that another control need not wait for its end.
    pub async fn release(&self) {
        self.over.cancel();
        let release = async {
            let mut connection = connect(&self.location).await?;
            Script::new(RELEASE)
                .key(self.location.key("leader"))
                .arg(&self.holder)
                .invoke_async::<u32>(&mut connection)
                .await
        };
        if !matches!(tokio::time::timeout(Duration::from_secs(1), release).await, Ok(Ok(_))) {
            warn!("the lease could not be released and runs out by itself");
        }
    }

    /// `sure` is when the last request was sent that the store has confirmed: the lease lasts at least from then.
    async fn renew(self, mut sure: Instant) {
        let whole = Duration::from_millis(self.location.lease_ms);
        let mut connection = None;
        loop {
            // Checked before anything else: the process may have been stopped for any time.
            let left = whole.saturating_sub(sure.elapsed());
            if left.is_zero() {
                break;
            }
            let asked = Instant::now();
            match tokio::time::timeout(left.min(whole / 3), self.prolong(&mut connection)).await {
                Ok(Ok(true)) => sure = asked,
                Ok(Ok(false)) => break,
                Ok(Err(_)) | Err(_) => connection = None,
            }
            tokio::select! {
                () = tokio::time::sleep(whole / 5) => {}
                () = self.over.cancelled() => return,
            }
        }
        warn!(holder = self.holder, "leadership is lost");
        self.lost.cancel();
    }

    async fn prolong(&self, kept: &mut Option<ConnectionManager>) -> redis::RedisResult<bool> {
        let connection = open(&self.location, kept).await?;
        let renewed: u32 = Script::new(RENEW)
            .key(self.location.key("leader"))
            .arg(&self.holder)
            .arg(self.location.lease_ms)
            .invoke_async(connection)
            .await?;
        Ok(renewed == 1)
    }
}

async fn take(
    location: &RedisLocation,
    holder: &str,
    kept: &mut Option<ConnectionManager>,
) -> redis::RedisResult<bool> {
    let connection = open(location, kept).await?;
    let taken: Option<String> = redis::cmd("SET")
        .arg(location.key("leader"))
        .arg(holder)
        .arg("NX")
        .arg("PX")
        .arg(location.lease_ms)
        .query_async(connection)
        .await?;
    Ok(taken.is_some())
}

async fn open<'a>(
    location: &RedisLocation,
    kept: &'a mut Option<ConnectionManager>,
) -> redis::RedisResult<&'a mut ConnectionManager> {
    let connection = match kept.take() {
        Some(connection) => connection,
        None => connect(location).await?,
    };
    Ok(kept.insert(connection))
}

/// A connection that comes back by itself; single requests still fail while it is away.
pub(super) async fn connect(location: &RedisLocation) -> redis::RedisResult<ConnectionManager> {
    let settings = redis::aio::ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(10)));
    ConnectionManager::new_with_config(location.client()?, settings).await
}
