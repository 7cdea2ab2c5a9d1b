//! What the filter asks of the proxy that runs it. Real calls are in `hostcalls`, which exists on wasm only; tests bring
//! their own host.

#[cfg(target_arch = "wasm32")]
pub mod hostcalls;

use miroir_core::call::{Call, Headers, NotSent, Reply};

/// Kind of a statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// The proxy. Nothing here panics or blocks. Calls about the client's request concern the stream named by the last
/// [`Host::enter`]; so do replies.
pub trait Host {
    /// Milliseconds of a monotonic clock.
    fn now_ms(&self) -> u64;
    /// 128 random bits in lower-case hex.
    fn random_id(&self) -> String;
    /// The proxy's own name, as its configuration server knows it; none where it has none.
    fn proxy_id(&self) -> Option<String>;
    /// The filter's configuration; only within the callback that brings it.
    fn configuration(&self) -> Option<Vec<u8>>;
    /// Sets how often the timer callback of the entered root context comes; 0 for never again.
    fn set_tick_ms(&self, period: u32);
    /// Says whose callback has begun: the proxy takes what follows to be about this context.
    fn begin(&self, context: u32);
    /// Chooses the context (a stream, or a root) that the following calls are about; false when it is gone.
    fn enter(&self, context: u32) -> bool;
    /// Says that the entered root context, which answered that it is not done, now is.
    fn root_done(&self);
    /// Makes a queue of this name, or hands it over to the entered root context; none when the proxy has no queues.
    fn register_queue(&self, name: &str) -> Option<u32>;
    /// Asks for a callback of the root context that has this queue, right after this one; false when none will come.
    fn ring(&self, queue: u32) -> bool;
    /// Forgets the rings that have come so far.
    fn empty_queue(&self, queue: u32);

    /// Writes what all workers of this process can read.
    fn share(&self, key: &str, value: &[u8]);
    /// What a worker of this process wrote last.
    fn shared(&self, key: &str) -> Option<Vec<u8>>;

    /// The client's headers, pseudo headers included.
    fn request_headers(&self) -> Headers;
    /// Sets one of the client's headers.
    fn set_request_header(&self, name: &str, value: &str);
    /// Removes one of the client's headers.
    fn remove_request_header(&self, name: &str);
    /// Takes the piece of the client's body that has just come out of the proxy's buffer.
    fn take_request_body(&self, size: usize) -> Option<Vec<u8>>;
    /// One header of the answer on its way to the client.
    fn response_header(&self, name: &str) -> Option<String>;
    /// Sets one header of the answer on its way to the client.
    fn set_response_header(&self, name: &str, value: &str);
    /// Answers the client; false when that was not possible.
    fn reply(&self, reply: &Reply) -> bool;

    /// Sends a call; the token names it in the callback that brings its end.
    ///
    /// # Errors
    /// Nothing was sent.
    fn call(&self, call: &Call) -> Result<u32, NotSent>;
    /// Status of the answer to a call; only within its callback, where that brings headers, and with the root entered
    /// that made the call.
    fn call_status(&self) -> Option<u16>;
    /// Headers of the answer to a call, like its status.
    fn call_headers(&self) -> Headers;
    /// Body of the answer to a call, like its headers; none when there is no memory for it.
    fn call_body(&self, size: usize) -> Option<Vec<u8>>;

    /// Registers a statistic; none when the proxy refuses.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Option<u32>;
    /// Sets a gauge or adds to a histogram.
    fn record_metric(&self, id: u32, value: u64);
    /// Counts.
    fn increment_metric(&self, id: u32, by: i64);
}
