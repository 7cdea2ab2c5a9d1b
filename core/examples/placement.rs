//! Prints how even placements are and how much moves when nodes join and leave, against the least that must:
//! `cargo xtask placement`.

#![allow(clippy::print_stdout)] // printing is what it is for

use std::time::Instant;

use miroir_core::placement::{NodeSpec, PlacementError, moves, place, rebalance, shares};

/// Fleets before the join: nodes, shards, copies, zones (0: none), whether weights are 1, 2 and 3 by turns.
const FLEETS: [(usize, u32, u8, usize, bool); 12] = [
    (3, 128, 2, 0, false),
    (10, 128, 2, 0, false),
    (10, 128, 2, 3, false),
    (10, 128, 2, 3, true),
    (16, 128, 3, 0, false),
    (50, 512, 2, 0, false),
    (50, 512, 3, 3, true),
    (100, 1024, 3, 0, false),
    (100, 1024, 3, 4, true),
    (1000, 8192, 2, 0, false),
    (1000, 8192, 3, 0, false),
    (1000, 8192, 3, 5, true),
];

fn nodes(count: usize, zones: usize, weights: bool) -> Vec<NodeSpec> {
    let node = |at: usize| NodeSpec {
        id: format!("node-{at}"),
        weight: if weights { [1.0, 2.0, 3.0].get(at % 3).copied().unwrap_or(1.0) } else { 1.0 },
        zone: at.checked_rem(zones).map(|zone| format!("zone-{zone}")),
    };
    (0..count).map(node).collect()
}

fn loads(owners: &[Vec<usize>], nodes: usize) -> Vec<u32> {
    let mut loads = vec![0u32; nodes];
    owners.iter().flatten().filter_map(|at| loads.get_mut(*at).map(|load| *load += 1)).for_each(drop);
    loads
}

fn main() -> Result<(), PlacementError> {
    println!("A node joins, and leaves again; copies moved beside what the newcomer is to hold, or what it held.\n");
    println!(
        "| nodes | shards | copies | zones | weights | fullest, above its share | join moved, least | leave moved, least | place | join |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (count, table, copies, zones, weights) in FLEETS {
        let all = nodes(count + 1, zones, weights);
        let Some(before) = all.get(..count) else { continue };
        let start = Instant::now();
        let old = place(before, table, copies)?;
        let placed = start.elapsed();
        let by_share = shares(before, table, copies)?;
        let over = loads(&old, count).into_iter().zip(by_share).map(|(load, share)| f64::from(load) - share);
        let start = Instant::now();
        let joined = rebalance(&all, table, copies, &old)?;
        let came = moves(&all, &old, &joined).count();
        let join = start.elapsed();
        let least = shares(&all, table, copies)?.last().copied().unwrap_or_default();
        let stays: Vec<Vec<usize>> =
            joined.iter().map(|owners| owners.iter().copied().filter(|at| *at != count).collect()).collect();
        let left = rebalance(before, table, copies, &stays)?;
        let must = joined.iter().flatten().filter(|at| **at == count).count();
        let went = moves(&all, &joined, &left).count();
        println!(
            "| {count} | {table} | {copies} | {} | {} | {:+.1} copies | {came}, {least:.1} | {went}, {must} | {:.0} ms | {:.0} ms |",
            if zones == 0 { "none".to_owned() } else { zones.to_string() },
            if weights { "1 to 3" } else { "1" },
            over.fold(0.0, f64::max),
            placed.as_secs_f64() * 1e3,
            join.as_secs_f64() * 1e3,
        );
    }
    Ok(())
}
