//! The HTTP filter that Envoy loads as WebAssembly.
