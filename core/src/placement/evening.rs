//! Brings every node within its bounds with as few new copies as can be: copies are given where they can be, straight
//! or by way of others where zones forbid the straight way.

use super::matching::Matching;

/// The longest way round that is looked for; more than two gifts in a row are rarely needed.
const LONGEST: usize = 6;
/// Gifts that are ruled out, one after the other, before a round is given up.
const MOST_CLOSED: usize = 64;

/// A copy that changes hands.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Gift {
    shard: usize,
    from: usize,
    to: usize,
}

/// How a copy too many comes to a node: how many new copies that makes in all, and the gift at the end.
#[derive(Clone, Copy)]
struct Way {
    cost: i8,
    last: Option<Gift>,
}

/// Which gifts are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gifts {
    /// Only those to nodes that held the copy in force.
    Back,
    Any,
}

/// Whether a node gives, or takes, in a round.
type Role<'a> = fn(&Matching<'a>, usize) -> bool;

/// Owners, with the shards of each node at hand.
pub(super) struct Evening<'m, 'a> {
    matching: &'m mut Matching<'a>,
    /// The table in force: to come back to it costs nothing.
    before: &'m [Vec<usize>],
    held: Vec<Vec<usize>>,
    /// Gifts that could not be made where the way led over them: looked for around them until one is found.
    closed: Vec<Gift>,
}

impl<'m, 'a> Evening<'m, 'a> {
    pub(super) fn new(matching: &'m mut Matching<'a>, before: &'m [Vec<usize>]) -> Self {
        let mut held = vec![Vec::new(); matching.count()];
        for (shard, owners) in matching.owners.iter().enumerate() {
            for owner in owners {
                if let Some(held) = held.get_mut(*owner) {
                    held.push(shard);
                }
            }
        }
        Self { matching, before, held, closed: Vec::new() }
    }

    /// Nodes above their bound give to those below theirs, then to those that have room; then those below theirs take
    /// from whoever is not at its own. Where copies in force were given up, for zones or because there were too many,
    /// others may be given up in their stead: that makes no new copy and comes first.
    pub(super) fn run(&mut self) {
        if self.has_given_up() {
            self.every_way(Gifts::Back);
        }
        self.every_way(Gifts::Any);
    }

    fn every_way(&mut self, gifts: Gifts) {
        self.straight(Matching::is_over, Matching::lacks, gifts);
        self.straight(Matching::is_over, Matching::has_room, gifts);
        while self.round(Matching::is_over, Matching::lacks, gifts) {}
        while self.round(Matching::is_over, Matching::has_room, gifts) {}
        self.straight(Matching::can_spare, Matching::lacks, gifts);
        while self.round(Matching::can_spare, Matching::lacks, gifts) {}
    }

    /// Whether a copy in force is none any more.
    fn has_given_up(&self) -> bool {
        let pairs = self.before.iter().zip(&self.matching.owners);
        pairs.into_iter().any(|(before, now)| before.iter().any(|owner| !now.contains(owner)))
    }

    fn all(&self, role: Role<'a>) -> Vec<usize> {
        (0..self.held.len()).filter(|node| role(self.matching, *node)).collect()
    }

    fn shards(&self, node: usize) -> &[usize] {
        self.held.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// Copies that a gift adds to what has to be made, if zones allow it.
    fn cost(&self, gift: Gift) -> Option<i8> {
        let Gift { shard, from, to } = gift;
        if self.closed.contains(&gift) {
            return None;
        }
        let new = |node: usize| i8::from(!self.before.get(shard).is_some_and(|owners| owners.contains(&node)));
        self.matching.may_give(shard, from, to).then(|| new(to).saturating_sub(new(from)))
    }

    /// Gifts from one to the other: the cheapest first, then what the receiver ranks first.
    fn straight(&mut self, gives: Role<'a>, takes: Role<'a>, kind: Gifts) {
        let mut receivers = self.all(takes);
        receivers.sort_by(|left, right| self.matching.fill(*left).total_cmp(&self.matching.fill(*right)));
        for to in receivers {
            let mut gifts: Vec<(i8, f64, Gift)> = Vec::new();
            for from in self.all(gives) {
                let all = self.shards(from).iter().map(|shard| Gift { shard: *shard, from, to });
                let scored = |gift: Gift| {
                    let cost = self.cost(gift).filter(|cost| kind == Gifts::Any || *cost <= 0)?;
                    Some((cost, self.matching.score(gift.shard, to), gift))
                };
                gifts.extend(all.filter_map(scored));
            }
            if gifts.is_empty() {
                continue;
            }
            gifts.sort_by(|left, right| {
                left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)).then(left.2.shard.cmp(&right.2.shard))
            });
            for (_, _, gift) in gifts {
                if !takes(self.matching, to) {
                    break;
                }
                if gives(self.matching, gift.from) {
                    self.give(gift);
                }
            }
        }
    }

    /// One copy from a giver to a taker by way of others, so that as few new copies as can be are made; false where
    /// there is no way.
    fn round(&mut self, gives: Role<'a>, takes: Role<'a>, kind: Gifts) -> bool {
        let mut found = false;
        while !found && self.closed.len() < MOST_CLOSED {
            match self.nearest(gives, takes, kind) {
                None => break,
                Some(Ok(())) => found = true,
                Some(Err(closed)) => self.closed.push(closed),
            }
        }
        self.closed.clear();
        found
    }

    /// The cheapest way, followed; the gift on it that could not be made.
    fn nearest(&mut self, gives: Role<'a>, takes: Role<'a>, kind: Gifts) -> Option<Result<(), Gift>> {
        let targets = self.all(takes);
        let mut frontier = self.all(gives);
        let mut ways: Vec<Option<Way>> = vec![None; self.held.len()];
        for giver in &frontier {
            if let Some(way) = ways.get_mut(*giver) {
                *way = Some(Way { cost: 0, last: None });
            }
        }
        for _ in 0..LONGEST {
            if targets.is_empty() || frontier.is_empty() {
                break;
            }
            frontier = self.widen(&frontier, &mut ways, kind);
            // A straight gift makes no fewer.
            let least = i8::from(kind == Gifts::Any);
            if targets.iter().any(|target| ways.get(*target).copied().flatten().is_some_and(|way| way.cost <= least)) {
                break;
            }
        }
        let led = |target: &usize| ways.get(*target).copied().flatten().filter(|way| way.last.is_some());
        let way = |target: &usize| led(target).map(|way| (way.cost, *target));
        let best = targets.iter().filter_map(way).min();
        best.map(|(_, target)| self.follow(&ways, target))
    }

    /// Goes one gift further from each of these nodes; the nodes to which there is a cheaper way than before.
    fn widen(&self, frontier: &[usize], ways: &mut [Option<Way>], kind: Gifts) -> Vec<usize> {
        let mut better: Vec<usize> = Vec::new();
        for from in frontier {
            let Some(Way { cost: spent, .. }) = ways.get(*from).copied().flatten() else { continue };
            // To a node that did not hold the shard, a copy that is new here costs no more than it does now, and one
            // that was in force costs one more: worth it only where that is cheaper than the way known so far.
            let dearer = |than: i8| -> Vec<usize> {
                let is_dearer = |way: &Option<Way>| way.is_none_or(|way| way.cost > than);
                ways.iter().enumerate().filter(|(_, way)| is_dearer(way)).map(|(node, _)| node).collect()
            };
            let (mut for_new, mut for_old) = match kind {
                Gifts::Any => (dearer(spent), dearer(spent.saturating_add(1))),
                Gifts::Back => (Vec::new(), Vec::new()),
            };
            for shard in self.shards(*from) {
                let before = self.before.get(*shard).map(Vec::as_slice).unwrap_or_default();
                let others = if before.contains(from) { &mut for_old } else { &mut for_new };
                let mut reach = |to: usize| {
                    let gift = Gift { shard: *shard, from: *from, to };
                    let cost = self.cost(gift).map(|cost| cost.saturating_add(spent));
                    let way =
                        ways.get_mut(to).filter(|way| cost.is_some_and(|cost| way.is_none_or(|way| cost < way.cost)));
                    if let (Some(way), Some(cost)) = (way, cost) {
                        *way = Some(Way { cost, last: Some(gift) });
                        better.push(to);
                        return true;
                    }
                    false
                };
                for to in before {
                    reach(*to);
                }
                others.retain(|to| !reach(*to));
            }
        }
        better.sort_unstable();
        better.dedup();
        better
    }

    /// Makes all gifts on the way to `target`. A shard may stand in two of them: then the way may be closed, and all are
    /// taken back.
    fn follow(&mut self, ways: &[Option<Way>], target: usize) -> Result<(), Gift> {
        let mut made: Vec<Gift> = Vec::new();
        let last = |node: usize| ways.get(node).copied().flatten().and_then(|way| way.last);
        let mut next = last(target);
        while let Some(gift) = next {
            if made.len() > LONGEST || !self.give(gift) {
                for Gift { shard, from, to } in made.into_iter().rev() {
                    self.shift(Gift { shard, from: to, to: from });
                }
                return Err(gift);
            }
            made.push(gift);
            next = last(gift.from);
        }
        Ok(())
    }

    fn give(&mut self, gift: Gift) -> bool {
        let may = self.matching.may_give(gift.shard, gift.from, gift.to);
        if may {
            self.shift(gift);
        }
        may
    }

    fn shift(&mut self, Gift { shard, from, to }: Gift) {
        self.matching.shift(shard, from, to);
        if let Some(held) = self.held.get_mut(from) {
            held.retain(|held| *held != shard);
        }
        if let Some(held) = self.held.get_mut(to) {
            held.push(shard);
        }
    }
}
