//! `shards`: a grid.

use std::collections::BTreeSet;

use miroir_admin::{Copy, CopyState, Layout, Shard};

use crate::exit::{Exit, Failure};
use crate::output::{Colour, Paint, ranges};

/// Shards in one line of the grid.
const LINE: usize = 64;

fn mark(copy: Option<&Copy>) -> (char, Colour) {
    match copy {
        None => ('.', Colour::Dim),
        Some(copy) => match copy.state {
            CopyState::InSync if copy.usable => ('#', Colour::Good),
            CopyState::InSync => ('-', Colour::Care),
            CopyState::Stale => ('s', Colour::Bad),
            CopyState::Dual => ('d', Colour::Care),
            CopyState::Retiring => ('r', Colour::Dim),
        },
    }
}

/// Whether there is such a placement; the first one there is also before anything is placed.
pub fn has_placement(layout: &Layout, placement: u16) -> Result<(), Failure> {
    let known: BTreeSet<u32> = layout.shards.iter().map(|shard| shard.placement.into()).chain([0]).collect();
    if known.contains(&placement.into()) {
        return Ok(());
    }
    let known: Vec<u32> = known.into_iter().collect();
    Err(Failure::new(Exit::NotFound, format!("There is no placement {placement}; there is {}.", ranges(&known))))
}

/// The grid of a placement: a line a node, a character a shard, in blocks of 64 shards.
pub fn grid(layout: &Layout, placement: u16, paint: Paint) -> String {
    let shards: Vec<&Shard> = layout.shards.iter().filter(|shard| shard.placement == placement).collect();
    let width = layout.nodes.iter().map(|node| node.id.chars().count()).max().unwrap_or_default().max(6);
    let mut text = format!(
        "{} shards, {} copies each, epoch {}\n\
         #  in sync   -  in sync, node not ready   s  stale   d  being filled   r  leaving   .  none\n",
        shards.len(),
        layout.replication_factor,
        layout.epoch
    );
    for block in shards.chunks(LINE) {
        let (first, last) = (block.first().map_or(0, |shard| shard.shard), block.last().map_or(0, |shard| shard.shard));
        text.push_str(&format!("\n{:width$}  {}\n", format!("{first}-{last}"), ruler(block.len())));
        for node in &layout.nodes {
            text.push_str(&format!("{:width$}  ", node.id));
            for (at, shard) in block.iter().enumerate() {
                if at > 0 && at.is_multiple_of(8) {
                    text.push(' ');
                }
                let (character, colour) = mark(shard.copies.iter().find(|copy| copy.node == node.id));
                text.push_str(&paint.text(colour, &character.to_string()));
            }
            text.push('\n');
        }
    }
    let usable = |shard: &&Shard| shard.copies.iter().filter(|copy| copy.usable).count();
    let served = |shard: &&Shard| shard.copies.iter().any(|copy| copy.read);
    let with = |wanted: &dyn Fn(usize, bool) -> bool| -> Vec<u32> {
        shards.iter().filter(|shard| wanted(usable(shard), served(shard))).map(|shard| shard.shard).collect()
    };
    let wanted = usize::from(layout.replication_factor);
    for (name, list) in [
        ("down", with(&|usable, served| usable == 0 && !served)),
        ("fewer copies", with(&|usable, served| usable < wanted && (usable > 0 || served))),
    ] {
        if !list.is_empty() {
            text.push_str(&format!("\n{name}: {}", ranges(&list)));
        }
    }
    text
}

/// Marks every eighth shard.
fn ruler(shards: usize) -> String {
    (0..shards.div_ceil(8)).map(|group| format!("{:<8}", group * 8)).collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use miroir_admin::LayoutNode;

    #[test]
    fn a_placement_that_there_is_not_is_not_shown_as_empty() {
        let shard = |placement| Shard { placement, shard: 0, copies: vec![] };
        let mut layout = Layout {
            cluster: "c".into(),
            epoch: 1,
            shard_count: 1,
            replication_factor: 1,
            nodes: vec![],
            shards: vec![],
        };
        assert!(has_placement(&layout, 0).is_ok(), "nothing is placed yet");
        layout.shards = vec![shard(0), shard(1)];
        assert!(has_placement(&layout, 1).is_ok());
        let failure = has_placement(&layout, 7).unwrap_err();
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (Exit::NotFound, "There is no placement 7; there is 0-1.")
        );
    }

    #[test]
    fn a_grid_shows_every_state() {
        let node = |id: &str| LayoutNode { id: id.into(), weight: 1.0, zone: None, ready: true };
        let copy = |node: &str, state, usable| Copy { node: node.into(), state, usable, read: usable };
        let states = [
            vec![copy("a", CopyState::InSync, true), copy("b", CopyState::InSync, true)],
            vec![copy("a", CopyState::InSync, false)],
            vec![copy("b", CopyState::Stale, false), copy("a", CopyState::InSync, true)],
            vec![copy("b", CopyState::Dual, false), copy("a", CopyState::Retiring, false)],
        ];
        let shards =
            (0..10u32).map(|shard| Shard { placement: 0, shard, copies: states[shard as usize % 4].clone() }).collect();
        let layout = Layout {
            cluster: "c".into(),
            epoch: 3,
            shard_count: 10,
            replication_factor: 2,
            nodes: vec![node("a"), node("b")],
            shards,
        };
        assert_eq!(
            grid(&layout, 0, Paint::default()),
            "\
10 shards, 2 copies each, epoch 3
#  in sync   -  in sync, node not ready   s  stale   d  being filled   r  leaving   .  none

0-9     0        8
a       #-#r#-#r #-
b       #.sd#.sd #.

down: 1, 3, 5, 7, 9
fewer copies: 2, 6"
        );
    }
}
