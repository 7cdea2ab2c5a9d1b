//! Envoy's callbacks, as the SDK hands them on. Contexts hold their number and nothing else: the worker's state outlives
//! them, because a new configuration only makes a new root context in the same VM, on the same thread.

use std::cell::RefCell;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use crate::host::hostcalls::Envoy;
use crate::vm::{Caller, Step, Vm};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(Root { id }));
}}

thread_local! {
    static WORKER: RefCell<Option<Vm<Envoy>>> = const { RefCell::new(None) };
}

/// Runs `event` on this worker's state. The proxy never calls in while it is being called; should it do so all the
/// same, the event is dropped rather than the VM.
fn with<T>(otherwise: T, event: impl FnOnce(&mut Vm<Envoy>) -> T) -> T {
    WORKER.with(|worker| match worker.try_borrow_mut() {
        Ok(mut worker) => event(worker.get_or_insert_with(|| Vm::new(Envoy::new()))),
        Err(_) => otherwise,
    })
}

fn action(step: Step) -> Action {
    match step {
        Step::Continue => Action::Continue,
        Step::Pause => Action::Pause,
    }
}

/// One configuration on one worker.
struct Root {
    id: u32,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _trailers: usize) {
        with((), |vm| vm.on_call_end(Caller::Root(self.id), token, headers, size));
    }

    fn on_done(&mut self) -> bool {
        with(true, |vm| vm.on_done(self.id))
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        with((), |vm| vm.on_configure(self.id));
        true
    }

    fn on_tick(&mut self) {
        with((), |vm| vm.on_tick(self.id));
    }

    fn on_queue_ready(&mut self, queue: u32) {
        with((), |vm| vm.on_queue_ready(self.id, queue));
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { id }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        with((), |vm| vm.on_root_deleted(self.id));
    }
}

/// One client's request.
struct Stream {
    id: u32,
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _trailers: usize) {
        with((), |vm| vm.on_call_end(Caller::Stream(self.id), token, headers, size));
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> Action {
        action(with(Step::Pause, |vm| vm.on_request_headers(self.id, end)))
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        action(with(Step::Pause, |vm| vm.on_request_body(self.id, size, end)))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        action(with(Step::Pause, |vm| vm.on_request_body(self.id, 0, true)))
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        with((), |vm| vm.on_response_headers(self.id));
        Action::Continue
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        with((), |vm| vm.on_stream_deleted(self.id));
    }
}
