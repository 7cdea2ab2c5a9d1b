//! The proxy-wasm ABI 0.2.1, the half that the proxy offers. This is the only file that names hostcalls. Every status
//! is looked at and none is taken for impossible: a panic would take the whole worker's VM with it.
#![allow(unsafe_code)]

use std::time::Instant;

use super::{Host, Level, MetricKind};
use miroir_core::call::{Call, Headers, NotSent, Reply};

const OK: u32 = 0;
const BAD_ARGUMENT: u32 = 2;

const REQUEST_BODY: u32 = 0;
const CALL_BODY: u32 = 4;
const PLUGIN_CONFIGURATION: u32 = 7;

const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const CALL_HEADERS: u32 = 6;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_done() -> u32;
    fn proxy_get_buffer_bytes(kind: u32, start: usize, most: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(kind: u32, start: usize, size: usize, data: *const u8, data_size: usize) -> u32;
    fn proxy_get_header_map_pairs(kind: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        kind: u32,
        name: *const u8,
        name_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        kind: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(kind: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, size: usize) -> u16;
}

/// Envoy.
pub struct Envoy {
    start: Instant,
}

impl Envoy {
    /// Starts the clock.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for Envoy {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes over a buffer that the proxy had [`crate::exports`] allocate.
fn take(status: u32, data: *mut u8, size: usize) -> Option<Vec<u8>> {
    if status != OK {
        return None;
    }
    if data.is_null() || size == 0 {
        return Some(Vec::new());
    }
    // SAFETY: the proxy hands over exactly what `proxy_on_memory_allocate(size)` gave it: `size` bytes of alignment 1
    // from the global allocator, filled, and used by nobody else.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

fn buffer(kind: u32, most: usize) -> Option<Vec<u8>> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: both out-pointers live through the call.
    let status = unsafe { proxy_get_buffer_bytes(kind, 0, most, &raw mut data, &raw mut size) };
    take(status, data, size)
}

fn pairs(kind: u32) -> Headers {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: both out-pointers live through the call.
    let status = unsafe { proxy_get_header_map_pairs(kind, &raw mut data, &raw mut size) };
    take(status, data, size).map(|bytes| read_pairs(&bytes)).unwrap_or_default()
}

/// The ABI's list: number of pairs, lengths of each, then each name and value behind each other, NUL-terminated.
fn read_pairs(bytes: &[u8]) -> Headers {
    let number = |at: usize| -> Option<usize> {
        let four = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(four.try_into().ok()?)).ok()
    };
    let read = || -> Option<Headers> {
        let count = number(0)?;
        let mut at = count.checked_mul(8)?.checked_add(4)?;
        let mut text = |length: usize| -> Option<String> {
            let end = at.checked_add(length)?;
            let text = String::from_utf8_lossy(bytes.get(at..end)?).into_owned();
            at = end.checked_add(1)?;
            Some(text)
        };
        (0..count)
            .map(|pair| {
                let lengths = pair.checked_mul(8)?.checked_add(4)?;
                let name = text(number(lengths)?)?;
                Some((name, text(number(lengths.checked_add(4)?)?)?))
            })
            .collect()
    };
    read().unwrap_or_default()
}

fn write_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap_or_default().to_le_bytes();
    let mut bytes = u32::try_from(pairs.clone().count()).unwrap_or_default().to_le_bytes().to_vec();
    for (name, value) in pairs.clone() {
        bytes.extend(length(name));
        bytes.extend(length(value));
    }
    for (name, value) in pairs {
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.extend(value.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn as_pairs(headers: &Headers) -> impl Iterator<Item = (&str, &str)> + Clone {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

impl Host for Envoy {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn random_id(&self) -> String {
        let mut bytes = [0u8; 16];
        // SAFETY: the buffer is as long as said.
        unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
        format!("{:032x}", u128::from_le_bytes(bytes))
    }

    fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Info => 2,
            Level::Warn => 3,
        };
        // SAFETY: pointer and length of a live string.
        unsafe { proxy_log(level, message.as_ptr(), message.len()) };
    }

    fn configuration(&self) -> Option<Vec<u8>> {
        buffer(PLUGIN_CONFIGURATION, usize::MAX)
    }

    fn set_tick_ms(&self, period: u32) {
        // SAFETY: numbers only.
        unsafe { proxy_set_tick_period_milliseconds(period) };
    }

    fn enter(&self, context: u32) -> bool {
        // SAFETY: numbers only.
        unsafe { proxy_set_effective_context(context) == OK }
    }

    fn root_done(&self) {
        // SAFETY: no arguments.
        unsafe { proxy_done() };
    }

    fn request_headers(&self) -> Headers {
        pairs(REQUEST_HEADERS)
    }

    fn set_request_header(&self, name: &str, value: &str) {
        set_header(REQUEST_HEADERS, name, value);
    }

    fn remove_request_header(&self, name: &str) {
        // SAFETY: pointer and length of a live string.
        unsafe { proxy_remove_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len()) };
    }

    fn take_request_body(&self, size: usize) -> Option<Vec<u8>> {
        let piece = buffer(REQUEST_BODY, size)?;
        // SAFETY: an empty replacement for what was just copied.
        unsafe { proxy_set_buffer_bytes(REQUEST_BODY, 0, piece.len(), std::ptr::NonNull::dangling().as_ptr(), 0) };
        Some(piece)
    }

    fn response_header(&self, name: &str) -> Option<String> {
        let (mut data, mut size) = (std::ptr::null_mut(), 0);
        // SAFETY: a live string, and out-pointers that live through the call.
        let status = unsafe {
            proxy_get_header_map_value(RESPONSE_HEADERS, name.as_ptr(), name.len(), &raw mut data, &raw mut size)
        };
        take(status, data, size).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    fn set_response_header(&self, name: &str, value: &str) {
        set_header(RESPONSE_HEADERS, name, value);
    }

    fn reply(&self, reply: &Reply) -> bool {
        let headers = write_pairs(as_pairs(&reply.headers));
        // SAFETY: pointers and lengths of live buffers; no details, no gRPC status.
        let status = unsafe {
            proxy_send_local_response(
                u32::from(reply.status),
                std::ptr::NonNull::dangling().as_ptr(),
                0,
                reply.body.as_ptr(),
                reply.body.len(),
                headers.as_ptr(),
                headers.len(),
                -1,
            )
        };
        status == OK
    }

    fn call(&self, call: &Call) -> Result<u32, NotSent> {
        let pseudo = [(":method", call.method), (":path", &call.path), (":authority", &call.cluster)];
        let headers = write_pairs(pseudo.into_iter().chain(as_pairs(&call.headers)));
        let trailers = write_pairs(std::iter::empty());
        let mut token = 0;
        // SAFETY: pointers and lengths of live buffers, and an out-pointer that lives through the call.
        let status = unsafe {
            proxy_http_call(
                call.cluster.as_ptr(),
                call.cluster.len(),
                headers.as_ptr(),
                headers.len(),
                call.body.as_ptr(),
                call.body.len(),
                trailers.as_ptr(),
                trailers.len(),
                u32::try_from(call.timeout_ms.max(1)).unwrap_or(u32::MAX),
                &raw mut token,
            )
        };
        match status {
            OK => Ok(token),
            BAD_ARGUMENT => Err(NotSent::NoCluster),
            _ => Err(NotSent::NoHealthyHost),
        }
    }

    fn call_headers(&self) -> Headers {
        pairs(CALL_HEADERS)
    }

    fn call_body(&self, size: usize) -> Vec<u8> {
        buffer(CALL_BODY, size).unwrap_or_default()
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Option<u32> {
        let kind = match kind {
            MetricKind::Counter => 0,
            MetricKind::Gauge => 1,
            MetricKind::Histogram => 2,
        };
        let mut id = 0;
        // SAFETY: a live string, and an out-pointer that lives through the call.
        let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) };
        (status == OK).then_some(id)
    }

    fn record_metric(&self, id: u32, value: u64) {
        // SAFETY: numbers only.
        unsafe { proxy_record_metric(id, value) };
    }

    fn increment_metric(&self, id: u32, by: i64) {
        // SAFETY: numbers only.
        unsafe { proxy_increment_metric(id, by) };
    }
}

fn set_header(kind: u32, name: &str, value: &str) {
    // SAFETY: pointers and lengths of live strings.
    unsafe { proxy_replace_header_map_value(kind, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}
