//! `miroir-control`: the control service's command line.

fn main() {}
