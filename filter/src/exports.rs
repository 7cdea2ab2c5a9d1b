//! The proxy-wasm ABI 0.2.1, the half that the proxy calls. Envoy runs one VM a worker, on one thread; its state
//! outlives configurations, because a new one only makes a new root context.
#![allow(unsafe_code)]
#![allow(missing_docs)]

use std::alloc::{Layout, alloc};
use std::cell::RefCell;

use crate::host::hostcalls::Envoy;
use crate::vm::{Step, Vm};

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

fn step(step: Step) -> u32 {
    match step {
        Step::Continue => 0,
        Step::Pause => 1,
    }
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

#[unsafe(no_mangle)]
pub extern "C" fn _initialize() {
    // SAFETY: the proxy calls this once, before anything else.
    unsafe { __wasm_call_ctors() };
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

/// Memory for what a hostcall returns; null when there is none left, which the proxy reports as a failed call.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the layout is not empty.
        Ok(layout) if size > 0 => unsafe { alloc(layout) },
        _ => std::ptr::NonNull::dangling().as_ptr(),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_context_create(_context: u32, _parent: u32) {}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_configure(root: u32, _size: usize) -> u32 {
    with((), |vm| vm.on_configure(root));
    1
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_tick(root: u32) {
    with((), |vm| vm.on_tick(root));
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(stream: u32, _count: usize, end: u32) -> u32 {
    step(with(Step::Pause, |vm| vm.on_request_headers(stream, end != 0)))
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_body(stream: u32, size: usize, end: u32) -> u32 {
    step(with(Step::Pause, |vm| vm.on_request_body(stream, size, end != 0)))
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_trailers(stream: u32, _count: usize) -> u32 {
    step(with(Step::Pause, |vm| vm.on_request_body(stream, 0, true)))
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_headers(stream: u32, _count: usize, _end: u32) -> u32 {
    with((), |vm| vm.on_response_headers(stream));
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_http_call_response(_root: u32, token: u32, headers: usize, size: usize, _trailers: usize) {
    with((), |vm| vm.on_call_end(token, headers, size));
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_done(context: u32) -> u32 {
    u32::from(with(true, |vm| vm.on_done(context)))
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_log(_context: u32) {}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_delete(context: u32) {
    with((), |vm| vm.on_delete(context));
}
