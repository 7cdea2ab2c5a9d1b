//! Envoy's hostcalls, through the SDK. This is the only file that names them.
//!
//! A panic would take the whole worker's VM with it, and most functions of the SDK panic on a status that they do not
//! expect. Each one used here is either told all statuses that Envoy 1.40 returns, or asked only where Envoy has what
//! it is asked for; the comment at the call says which. Bytes, not strings, are taken from headers: the SDK panics on
//! values that are not UTF-8, and clients may send such.

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use miroir_core::call::{Call, Headers, NotSent, Reply};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, Status};

use super::{Host, MetricKind};

/// Envoy.
pub struct Envoy {
    start: Instant,
    /// The context that Envoy takes calls to be about.
    entered: Cell<u32>,
}

impl Envoy {
    /// Starts the clock.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now(), entered: Cell::new(0) }
    }
}

impl Default for Envoy {
    fn default() -> Self {
        Self::new()
    }
}

/// True when there is memory for `size` bytes: the SDK has none to spare for a failed allocation.
fn room(size: usize) -> bool {
    let mut trial: Vec<u8> = Vec::new();
    black_box(&mut trial).try_reserve_exact(size).is_ok()
}

/// Safe: a buffer that is not there is none. Other statuses mean that memory ran out.
fn buffer(kind: BufferType, most: usize) -> Option<Vec<u8>> {
    hostcalls::get_buffer(kind, 0, most).ok().flatten()
}

/// Safe: a map that is not there is empty. Names are ASCII, because Envoy lets no others in.
fn pairs(kind: MapType) -> Headers {
    let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    let pairs = hostcalls::get_map_bytes(kind).unwrap_or_default();
    pairs.into_iter().map(|(name, value)| (name, text(value))).collect()
}

fn as_pairs(headers: &Headers) -> impl Iterator<Item = (&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

impl Host for Envoy {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn random_id(&self) -> String {
        let mut bytes = [0u8; 16];
        if getrandom::fill(&mut bytes).is_err() {
            // Does not happen in Envoy; a name from the clock is still better than one name for all.
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            bytes = since.as_nanos().to_le_bytes();
        }
        format!("{:032x}", u128::from_le_bytes(bytes))
    }

    fn proxy_id(&self) -> Option<String> {
        // Safe: there, not there and not to be put into bytes are the only three statuses.
        let id = hostcalls::get_property(vec!["xds", "node", "id"]).ok().flatten()?;
        String::from_utf8(id).ok().filter(|id| !id.is_empty())
    }

    fn configuration(&self) -> Option<Vec<u8>> {
        buffer(BufferType::PluginConfiguration, usize::MAX)
    }

    fn set_tick_ms(&self, period: u32) {
        // Safe: always succeeds.
        let _ = hostcalls::set_tick_period(Duration::from_millis(period.into()));
    }

    fn begin(&self, context: u32) {
        self.entered.set(context);
    }

    fn enter(&self, context: u32) -> bool {
        if self.entered.get() == context {
            return true;
        }
        // Safe: a context that has gone is an error, and there is no third status.
        let entered = hostcalls::set_effective_context(context).is_ok();
        if entered {
            self.entered.set(context);
        }
        entered
    }

    fn root_done(&self) {
        // Safe: asked only of a context that said that it was not done, and that still exists.
        let _ = hostcalls::done();
    }

    fn register_queue(&self, name: &str) -> Option<u32> {
        // Safe: always succeeds; a second time it hands the queue over to the entered context's root.
        hostcalls::register_shared_queue(name).ok()
    }

    fn ring(&self, queue: u32) -> bool {
        // Safe: a queue that is not there is an error, and there is no third status. One byte, because the SDK cannot
        // tell an empty message from an empty queue.
        hostcalls::enqueue_shared_queue(queue, Some(&[1])).is_ok()
    }

    fn empty_queue(&self, queue: u32) {
        // Safe: all three statuses are known to the SDK.
        while let Ok(Some(_)) = hostcalls::dequeue_shared_queue(queue) {}
    }

    fn share(&self, key: &str, value: &[u8]) {
        // Safe: without a number to compare with it always succeeds.
        let _ = hostcalls::set_shared_data(key, Some(value), None);
    }

    fn shared(&self, key: &str) -> Option<Vec<u8>> {
        // Safe: there or not there are the only two statuses.
        hostcalls::get_shared_data(key).ok().and_then(|(value, _)| value)
    }

    fn request_headers(&self) -> Headers {
        pairs(MapType::HttpRequestHeaders)
    }

    fn set_request_header(&self, name: &str, value: &str) {
        // Safe within the callback that brings the headers, and used nowhere else.
        let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, Some(value));
    }

    fn remove_request_header(&self, name: &str) {
        // Safe as above.
        let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
    }

    fn take_request_body(&self, size: usize) -> Option<Vec<u8>> {
        if !room(size) {
            return None;
        }
        let piece = buffer(BufferType::HttpRequestBody, size)?;
        // Safe: the buffer is there, it has just been read. What was copied is replaced by nothing.
        let _ = hostcalls::set_buffer(BufferType::HttpRequestBody, 0, piece.len(), &[]);
        Some(piece)
    }

    fn response_header(&self, name: &str) -> Option<String> {
        // The getter of one value panics where the map is not there.
        pairs(MapType::HttpResponseHeaders).into_iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    fn set_response_header(&self, name: &str, value: &str) {
        // Safe within the callback that brings the headers, and used nowhere else.
        let _ = hostcalls::set_map_value(MapType::HttpResponseHeaders, name, Some(value));
    }

    fn reply(&self, reply: &Reply) -> bool {
        // Safe: Envoy always says yes, also where the client has gone meanwhile.
        hostcalls::send_http_response(reply.status.into(), as_pairs(&reply.headers).collect(), Some(&reply.body))
            .is_ok()
    }

    fn call(&self, call: &Call) -> Result<u32, NotSent> {
        let pseudo = [(":method", call.method), (":path", &call.path), (":authority", call.host())];
        let headers = pseudo.into_iter().chain(as_pairs(&call.headers)).collect();
        let timeout = Duration::from_millis(call.timeout_ms.clamp(1, i32::MAX.unsigned_abs().into()));
        // Safe: Envoy has two reasons to refuse, and the SDK knows both.
        hostcalls::dispatch_http_call(&call.cluster, headers, Some(&call.body), Vec::new(), timeout).map_err(|status| {
            match status {
                Status::BadArgument => NotSent::NoCluster,
                _ => NotSent::NoHealthyHost,
            }
        })
    }

    fn call_status(&self) -> Option<u16> {
        // Safe: the callback has brought headers, and its root is entered, so that Envoy has the map.
        let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").ok().flatten()?;
        std::str::from_utf8(&status).ok()?.parse().ok()
    }

    fn call_headers(&self) -> Headers {
        pairs(MapType::HttpCallResponseHeaders)
    }

    fn call_body(&self, size: usize) -> Option<Vec<u8>> {
        room(size).then(|| buffer(BufferType::HttpCallResponseBody, size).unwrap_or_default())
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Option<u32> {
        let kind = match kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
        };
        // Safe: always succeeds for these kinds.
        hostcalls::define_metric(kind, name).ok()
    }

    fn record_metric(&self, id: u32, value: u64) {
        // Safe: the number is one that Envoy gave.
        let _ = hostcalls::record_metric(id, value);
    }

    fn increment_metric(&self, id: u32, by: i64) {
        // Safe: all statuses are known to the SDK.
        let _ = hostcalls::increment_metric(id, by);
    }
}
