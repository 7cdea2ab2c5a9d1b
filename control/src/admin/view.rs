//! The sequencer's state in the words of the admin API.

use std::collections::{BTreeMap, BTreeSet};

use miroir_admin::{
    Condition, Copy, CopyState, Coverage, DeletionWait, Envoy, Filter, Layout, LayoutNode, Node, Scrub, Shard,
    ShardName, Status,
};
use miroir_sequencer as sequencer;

use super::convert;
use crate::api::Service;
use crate::cluster::{Look, Runtime};

fn state(copy: sequencer::CopyState) -> CopyState {
    match copy {
        sequencer::CopyState::InSync => CopyState::InSync,
        sequencer::CopyState::Stale => CopyState::Stale,
        sequencer::CopyState::Dual => CopyState::Dual,
        sequencer::CopyState::Retiring => CopyState::Retiring,
    }
}

fn member<'a>(look: &'a Look, id: &str) -> Option<&'a sequencer::MemberView> {
    look.members.iter().find(|member| member.id == id)
}

fn membership(state: sequencer::MemberState) -> &'static str {
    match state {
        sequencer::MemberState::Active => "active",
        sequencer::MemberState::Joining => "joining",
        sequencer::MemberState::Draining => "draining",
        sequencer::MemberState::Removed => "removed",
    }
}

/// All shards with their copies.
pub(crate) fn shards(look: &Look) -> Vec<Shard> {
    let nodes: BTreeMap<&str, &sequencer::NodeStatus> =
        look.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let name = |node: u16| look.map.nodes.get(usize::from(node)).map(|node| node.id.as_str());
    let unread: BTreeSet<_> =
        look.map.stale.iter().filter_map(|mark| Some((mark.placement, mark.shard, name(mark.node)?))).collect();
    let mut shards: BTreeMap<(u16, u32), Vec<Copy>> = BTreeMap::new();
    for row in &look.copies {
        let node = nodes.get(row.node.as_str()).filter(|node| node.incarnation == row.incarnation);
        let in_sync = row.state == sequencer::CopyState::InSync;
        let usable = in_sync && node.is_some_and(|node| node.phase == "ready");
        let unread = unread.contains(&(row.placement, row.shard, row.node.as_str()));
        let read = in_sync && !unread && node.is_some_and(|node| !matches!(node.phase, "down" | "starting"));
        let copy = Copy { node: row.node.clone(), state: state(row.state), usable, read };
        shards.entry((row.placement, row.shard)).or_default().push(copy);
    }
    shards.into_iter().map(|((placement, shard), copies)| Shard { placement, shard, copies }).collect()
}

/// Which copy is where.
pub(super) fn layout(look: &Look) -> Layout {
    let nodes = look
        .nodes
        .iter()
        .filter(|node| member(look, &node.id).is_some())
        .map(|node| {
            let member = member(look, &node.id);
            LayoutNode {
                id: node.id.clone(),
                weight: member.map_or(1.0, |member| member.weight),
                zone: member.and_then(|member| member.zone.clone()),
                ready: node.phase == "ready",
            }
        })
        .collect();
    Layout {
        cluster: look.map.cluster.clone(),
        epoch: look.map.epoch,
        shard_count: look.map.shards,
        replication_factor: look.map.replication_factor,
        nodes,
        shards: shards(look),
    }
}

/// How many shards have how many usable copies.
pub(crate) fn coverage(shards: &[Shard], replication_factor: u8) -> Coverage {
    let mut coverage = Coverage { total: shards.len(), ..Coverage::default() };
    for shard in shards {
        match shard.copies.iter().filter(|copy| copy.usable).count() {
            0 if !is_served(shard) => coverage.down += 1,
            usable if usable < usize::from(replication_factor) => coverage.reduced += 1,
            _ => coverage.full += 1,
        }
    }
    coverage
}

/// Whether anybody answers for a shard, if only for want of a better copy.
fn is_served(shard: &Shard) -> bool {
    shard.copies.iter().any(|copy| copy.usable || copy.read)
}

/// Shards that no node can serve now.
pub(crate) fn down(shards: &[Shard]) -> Vec<ShardName> {
    let unserved = shards.iter().filter(|shard| !is_served(shard));
    unserved.map(|shard| ShardName { placement: shard.placement, shard: shard.shard }).collect()
}

/// The nodes.
pub(super) fn nodes(look: &Look) -> Vec<Node> {
    let mut copies: BTreeMap<&str, BTreeMap<CopyState, u32>> = BTreeMap::new();
    for row in &look.copies {
        *copies.entry(row.node.as_str()).or_default().entry(state(row.state)).or_default() += 1;
    }
    let view = |node: &sequencer::NodeStatus| {
        let member = member(look, &node.id);
        Node {
            id: node.id.clone(),
            url: member.map(|member| member.url.trim_end_matches('/').to_owned()),
            weight: member.map(|member| member.weight),
            zone: member.and_then(|member| member.zone.clone()),
            member: member.map_or("removed", |member| membership(member.state)).to_owned(),
            phase: node.phase.to_owned(),
            trouble: node.trouble.clone(),
            version: node.version.clone(),
            last_resort: node.last_resort,
            incarnation: node.incarnation,
            generation: node.generation,
            open_tasks: node.open_tasks,
            journal: node.journal,
            copies: copies.get(node.id.as_str()).cloned().unwrap_or_default(),
        }
    };
    look.nodes.iter().filter(|node| member(look, &node.id).is_some()).map(view).collect()
}

/// How everything is.
pub(super) fn status(service: &Service, look: &Look) -> Status {
    let cluster = &service.cluster;
    let shards = shards(look);
    let coverage = coverage(&shards, look.map.replication_factor);
    let nodes = nodes(look);
    let envoys: BTreeMap<String, Envoy> = service.tracker.envoys().into_iter().map(envoy).collect();
    let filters = filters(service.heartbeats.view(), look.deletions.as_ref(), look.now_ms);
    let scrub = convert::scrub(&look.scrub);
    let deletions = look.deletions.clone().map(convert::deletions);
    let lacking = lacking(look);
    let (condition, mut reasons) = judge(coverage, &nodes, &envoys, &filters, &scrub);
    let condition = condition.max(match left_undone(lacking, look.map.replication_factor, deletions.as_ref()) {
        left if left.is_empty() => Condition::Fine,
        left => {
            reasons.extend(left);
            Condition::Degraded
        }
    });
    Status {
        cluster: look.map.cluster.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: look.map.epoch,
        shard_count: look.map.shards,
        replication_factor: look.map.replication_factor,
        condition,
        reasons,
        coverage,
        lacking,
        down_shards: down(&shards),
        nodes,
        jobs: look.jobs.iter().filter(|job| !job.state.is_over()).cloned().map(convert::job).collect(),
        scrub,
        tagging: look.tagging.clone().map(convert::tagging),
        indexes: cluster.indexes().keys().cloned().collect(),
        open_tasks: cluster.open_tasks(),
        waiting_requests: cluster.waiting(),
        late_writes_fenced: cluster.secrets().master_key.is_some(),
        envoys,
        filters,
        deletions,
    }
}

/// What the workers last said, and those that have long been silent and are still waited for.
fn filters(mut heard: Vec<Filter>, wait: Option<&sequencer::DeletionWait>, now: u64) -> Vec<Filter> {
    let silent = wait.into_iter().flat_map(|wait| &wait.filters).filter(|filter| filter.silent);
    for filter in silent {
        if heard.iter().all(|known| known.vm != filter.vm) {
            heard.push(Filter {
                vm: filter.vm.clone(),
                envoy: filter.envoy.clone(),
                epoch: filter.epoch.unwrap_or_default(),
                oldest_epoch: filter.epoch.unwrap_or_default(),
                rejected: None,
                seconds_ago: now.saturating_sub(filter.heard_ms) / 1_000,
            });
        }
    }
    heard
}

/// Shards that lack copies, if no job is there to make them.
fn lacking(look: &Look) -> usize {
    if look.jobs.iter().any(|job| !job.state.is_over()) {
        return 0;
    }
    let wanted = usize::from(look.map.replication_factor);
    let mut owners: BTreeMap<(u16, u32), usize> = BTreeMap::new();
    for row in &look.copies {
        let counts = row.state != sequencer::CopyState::Retiring;
        *owners.entry((row.placement, row.shard)).or_default() += usize::from(counts);
    }
    owners.values().filter(|owners| **owners < wanted).count()
}

/// What does not come right by itself, with the command that helps.
fn left_undone(lacking: usize, wanted: u8, deletions: Option<&DeletionWait>) -> Vec<String> {
    let mut reasons = Vec::new();
    if lacking > 0 {
        reasons.push(format!(
            "{lacking} shards have fewer copies than {wanted}, and no job makes them: `miroirctl rf {wanted}` does"
        ));
    }
    if let Some((wait, command)) = deletions.and_then(|wait| Some((wait, wait.command.as_ref()?))) {
        reasons.push(format!("{}: if the Envoys are gone for good, `{command}`", wait.sentence));
    }
    reasons
}

fn envoy((id, state): (String, crate::xds::EnvoyState)) -> (String, Envoy) {
    let envoy = Envoy {
        streams: state.streams,
        clusters_acknowledged: state.clusters_acknowledged,
        filter_acknowledged: state.filter_acknowledged,
        refusal: state.refusal,
    };
    (id, envoy)
}

fn judge(
    coverage: Coverage,
    nodes: &[Node],
    envoys: &BTreeMap<String, Envoy>,
    filters: &[Filter],
    scrub: &Scrub,
) -> (Condition, Vec<String>) {
    let mut condition = Condition::Fine;
    let mut reasons = Vec::new();
    let mut note = |at_least: Condition, reason: String| {
        condition = condition.max(at_least);
        reasons.push(reason);
    };
    if coverage.total == 0 {
        note(Condition::Down, "no shard is placed yet".to_owned());
    }
    if coverage.down > 0 {
        note(Condition::Down, format!("{} of {} shards have no copy that can be read", coverage.down, coverage.total));
    }
    if coverage.reduced > 0 {
        let text =
            format!("{} of {} shards have fewer usable copies than they should", coverage.reduced, coverage.total);
        note(Condition::Degraded, text);
    }
    for node in nodes.iter().filter(|node| node.phase != "ready") {
        let why = node.trouble.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        note(Condition::Degraded, format!("node {} is {}{why}", node.id, node.phase));
    }
    for node in nodes.iter().filter(|node| node.last_resort) {
        let version = node.version.as_deref().unwrap_or("another version");
        let text = "unlike most nodes, and is read only where no other copy can be: bring all to one version";
        note(Condition::Degraded, format!("node {} runs Meilisearch {version}, {text}", node.id));
    }
    for node in nodes {
        if let Some(stale) = node.copies.get(&CopyState::Stale).filter(|stale| **stale > 0) {
            note(Condition::Degraded, format!("node {} missed writes to {stale} shards", node.id));
        }
    }
    for (id, envoy) in envoys {
        if let Some(refusal) = &envoy.refusal {
            note(Condition::Degraded, format!("Envoy {id} refused an update: {refusal}"));
        }
    }
    for filter in filters {
        if let Some(rejected) = &filter.rejected {
            note(Condition::Degraded, format!("filter {} refused a map: {rejected}", filter.vm));
        }
    }
    if scrub.unacknowledged > 0 {
        let text =
            "times replicas differed without a known reason: look at `miroirctl findings`, then acknowledge them";
        note(Condition::Degraded, format!("{} {text}", scrub.unacknowledged));
    }
    if let Some(why) = &scrub.blocked {
        note(
            Condition::Degraded,
            format!("replicas differ and are not repaired, as nothing can be written down: {why}"),
        );
    }
    (condition, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(usable: &[bool]) -> Shard {
        let copy = |usable: &bool| Copy { node: "a".into(), state: CopyState::InSync, usable: *usable, read: *usable };
        Shard { placement: 0, shard: 0, copies: usable.iter().map(copy).collect() }
    }

    #[test]
    fn shards_count_by_their_usable_copies() {
        let shards = [shard(&[true, true]), shard(&[true, false]), shard(&[false, false]), shard(&[])];
        assert_eq!(coverage(&shards, 2), Coverage { total: 4, full: 1, reduced: 1, down: 2 });
        assert_eq!(down(&shards).len(), 2);
    }

    #[test]
    fn a_shard_that_is_read_for_want_of_better_copies_is_not_down() {
        let mut shard = shard(&[false, false]);
        shard.copies[1].read = true;
        assert_eq!(coverage(std::slice::from_ref(&shard), 2), Coverage { total: 1, full: 0, reduced: 1, down: 0 });
        assert!(down(&[shard]).is_empty());
    }

    fn judged(coverage: Coverage) -> Condition {
        judge(coverage, &[], &BTreeMap::new(), &[], &Scrub::default()).0
    }

    #[test]
    fn the_worst_shard_decides() {
        let count = |full, reduced, down| Coverage { total: full + reduced + down, full, reduced, down };
        assert_eq!(judged(count(4, 0, 0)), Condition::Fine);
        assert_eq!(judged(count(3, 1, 0)), Condition::Degraded);
        assert_eq!(judged(count(2, 1, 1)), Condition::Down);
        assert_eq!(judged(Coverage::default()), Condition::Down);
    }

    fn silent(vm: &str, seconds_ago: u64) -> Filter {
        Filter { vm: vm.into(), envoy: None, epoch: 1, oldest_epoch: 1, rejected: None, seconds_ago }
    }

    #[test]
    fn a_filter_is_listed_for_as_long_as_a_copy_waits_for_it() {
        let waited = |vm: &str, heard_ms, silent| sequencer::WaitedFilter {
            vm: vm.into(),
            envoy: Some("edge-1".into()),
            epoch: None,
            heard_ms,
            silent,
        };
        let wait = sequencer::DeletionWait {
            copies: 2,
            since_ms: 0,
            until_ms: None,
            filters: vec![waited("a", 1_000, true), waited("b", 2_000, true), waited("c", 9_000, false)],
        };
        let listed = filters(vec![silent("b", 7)], Some(&wait), 10_000);
        let listed: Vec<(&str, u64)> = listed.iter().map(|filter| (filter.vm.as_str(), filter.seconds_ago)).collect();
        assert_eq!(listed, [("b", 7), ("a", 9)]);
    }

    #[test]
    fn what_does_not_come_right_by_itself_is_told_with_the_command() {
        let wait = DeletionWait {
            sentence: "2 copies that leave wait for 1 filter worker that fell silent".into(),
            copies: 2,
            since_ms: 0,
            until_ms: None,
            filters: Vec::new(),
            command: Some("miroirctl shard force-deletion".into()),
        };
        assert_eq!(
            left_undone(3, 2, Some(&wait)),
            [
                "3 shards have fewer copies than 2, and no job makes them: `miroirctl rf 2` does",
                "2 copies that leave wait for 1 filter worker that fell silent: if the Envoys are gone for good, \
                 `miroirctl shard force-deletion`",
            ]
        );
        assert!(left_undone(0, 2, Some(&DeletionWait { command: None, ..wait })).is_empty(), "it comes by itself");
    }

    #[test]
    fn a_refused_map_degrades() {
        let filter = Filter { rejected: Some("checksum".into()), ..silent("v", 1) };
        let whole = Coverage { total: 1, full: 1, ..Coverage::default() };
        let (condition, reasons) = judge(whole, &[], &BTreeMap::new(), &[filter], &Scrub::default());
        assert_eq!((condition, reasons.len()), (Condition::Degraded, 1));
    }

    #[test]
    fn a_node_of_another_version_degrades_and_is_named() {
        let node = Node {
            id: "n2".into(),
            url: None,
            weight: None,
            zone: None,
            member: "active".into(),
            phase: "ready".into(),
            trouble: None,
            version: Some("1.51.0".into()),
            last_resort: true,
            incarnation: 0,
            generation: 1,
            open_tasks: 0,
            journal: 0,
            copies: BTreeMap::new(),
        };
        let whole = Coverage { total: 1, full: 1, ..Coverage::default() };
        let (condition, reasons) = judge(whole, &[node], &BTreeMap::new(), &[], &Scrub::default());
        assert_eq!((condition, reasons.len()), (Condition::Degraded, 1));
        assert!(reasons[0].starts_with("node n2 runs Meilisearch 1.51.0, unlike most nodes"), "{reasons:?}");
    }

    #[test]
    fn a_finding_degrades_until_somebody_has_taken_note() {
        let whole = Coverage { total: 1, full: 1, ..Coverage::default() };
        let judged = |scrub: Scrub| judge(whole, &[], &BTreeMap::new(), &[], &scrub);
        let (condition, reasons) = judged(Scrub { unacknowledged: 2, ..Scrub::default() });
        assert_eq!(condition, Condition::Degraded);
        assert!(reasons[0].starts_with("2 times replicas differed"), "{reasons:?}");
        let (condition, reasons) = judged(Scrub { blocked: Some("no space".into()), ..Scrub::default() });
        assert_eq!(condition, Condition::Degraded);
        assert!(reasons[0].ends_with("no space"), "{reasons:?}");
    }
}
