//! `cargo xtask`: set-up, demo, tests and measurements.

fn main() {}
