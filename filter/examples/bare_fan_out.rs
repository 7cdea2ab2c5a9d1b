//! What a fan-out costs at least, whatever a filter is made of: three calls, their bodies fetched, and the first of them
//! sent on. No document is looked at. `cargo xtask bench fanout` measures the filter beside it.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "the exports of `main!`")]

use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

/// Clusters that are asked; the bench's upstreams.
const CLUSTERS: [&str; 3] = ["node-0", "node-1", "node-2"];
const TIMEOUT: Duration = Duration::from_secs(5);

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(FanOut { bodies: Vec::new() }))
    }
}

struct FanOut {
    bodies: Vec<Vec<u8>>,
}

impl HttpContext for FanOut {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        Action::Pause
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if end {
            let body = self.get_http_request_body(0, size);
            let headers = [
                (":method", "POST"),
                (":path", "/indexes/films/search"),
                (":authority", "node"),
                ("content-type", "application/json"),
            ];
            for cluster in CLUSTERS {
                if self.dispatch_http_call(cluster, headers.to_vec(), body.as_deref(), Vec::new(), TIMEOUT).is_err() {
                    self.send_http_response(503, Vec::new(), None);
                    return Action::Pause;
                }
            }
        }
        Action::Pause
    }
}

impl Context for FanOut {
    fn on_http_call_response(&mut self, _: u32, _: usize, size: usize, _: usize) {
        self.bodies.extend(self.get_http_call_response_body(0, size));
        if self.bodies.len() == CLUSTERS.len() {
            let body = self.bodies.first().map(Vec::as_slice);
            self.send_http_response(200, vec![("content-type", "application/json")], body);
        }
    }
}
