//! Prints how even placements are and how much moves when nodes join and leave, against the least that must:
//! `cargo run --release -p miroir-core --example placement`.

#![allow(clippy::print_stdout)] // printing is what it is for

use std::time::Instant;

use miroir_core::placement::{NodeSpec, PlacementError, moves, place, rebalance};

fn nodes(count: usize) -> Vec<NodeSpec> {
    (0..count).map(|at| NodeSpec { id: format!("node-{at}"), weight: 1.0, zone: None }).collect()
}

fn main() -> Result<(), PlacementError> {
    println!("nodes  shards  copies  fullest/share  join moved/least  leave moved/least  place ms  join ms");
    for (count, shards, copies) in
        [(3, 128, 2), (10, 128, 2), (16, 128, 3), (50, 512, 2), (100, 1024, 3), (1000, 8192, 2), (1000, 8192, 3)]
    {
        let all = nodes(count + 1);
        let Some(before) = all.get(..count) else { continue };
        let copies_all = f64::from(shards) * f64::from(copies);
        let start = Instant::now();
        let old = place(before, shards, copies)?;
        let placed = start.elapsed();
        let mut load = vec![0u32; count];
        old.iter().flatten().filter_map(|at| load.get_mut(*at).map(|load| *load += 1)).for_each(drop);
        let fullest = load.iter().max().copied().unwrap_or_default();
        let start = Instant::now();
        let joined = rebalance(&all, shards, copies, &old)?;
        let came = moves(&all, &old, &joined).count();
        let join = start.elapsed();
        let stays: Vec<Vec<usize>> =
            joined.iter().map(|owners| owners.iter().copied().filter(|at| *at != count).collect()).collect();
        let left = rebalance(before, shards, copies, &stays)?;
        let must = joined.iter().flatten().filter(|at| **at == count).count();
        let went = moves(&all, &joined, &left).count();
        println!(
            "{count:>5}  {shards:>6}  {copies:>6}  {fullest:>6}/{:<6.1}  {came:>9}/{:<6.1}  {went:>10}/{must:<6}  {:>8.0}  {:>7.0}",
            copies_all / count as f64,
            copies_all / (count + 1) as f64,
            placed.as_secs_f64() * 1e3,
            join.as_secs_f64() * 1e3,
        );
    }
    Ok(())
}
