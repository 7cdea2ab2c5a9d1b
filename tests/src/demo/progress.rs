//! A line every few seconds while something takes long.

use std::convert::Infallible;
use std::time::Duration;

use super::say;

const EVERY: Duration = Duration::from_secs(3);

/// Does the work; until it is done, says every few seconds what `report` has to tell.
pub(super) async fn while_waiting<T>(work: impl Future<Output = T>, report: impl AsyncFn() -> Option<String>) -> T {
    at_intervals(EVERY, work, async || {
        if let Some(line) = report().await {
            say(&format!("  {line}"));
        }
    })
    .await
}

async fn at_intervals<T>(every: Duration, work: impl Future<Output = T>, act: impl AsyncFn()) -> T {
    let acting = async {
        loop {
            tokio::time::sleep(every).await;
            act().await;
        }
    };
    tokio::select! {
        done = work => done,
        never = acting => {
            let never: Infallible = never;
            match never {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn it_tells_until_the_work_is_done() {
        let (told, enough) = (Cell::new(0), Notify::new());
        let act = async || {
            told.set(told.get() + 1);
            if told.get() == 3 {
                enough.notify_one();
            }
        };
        let work = async {
            enough.notified().await;
            "done"
        };
        assert_eq!(at_intervals(Duration::from_millis(1), work, act).await, "done");
        assert!(told.get() >= 3);
    }
}
