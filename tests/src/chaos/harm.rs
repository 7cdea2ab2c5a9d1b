//! The hand that breaks parts and mends them, after the plan.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::plan::{Harm, Step, Target};
use super::stage::Stage;
use super::tally;
use crate::Cluster;
use crate::harness::process::Process;

/// What has to be done to a broken part.
#[derive(Clone, Copy, Debug)]
enum Cure {
    Start,
    StartEmpty,
    Continue,
}

/// Longer than any write stays undecided, with the timings of the tests: what a dead node took is known by then.
const DECIDED: Duration = Duration::from_secs(8);

fn part(cluster: &mut Cluster, target: Target) -> &mut Process {
    match target {
        Target::Node(at) => &mut cluster.nodes[at],
        Target::Envoy(at) => &mut cluster.envoys[at],
        Target::Control => &mut cluster.control,
    }
}

/// Carries a plan out; at its end everything runs again.
///
/// # Errors
/// When a part cannot be started again.
pub async fn carry_out(stage: &Arc<Stage>, cluster: &mut Cluster, plan: &[Step]) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut broken: BTreeMap<Target, (Instant, Cure)> = BTreeMap::new();
    let mut control_since = began;
    let mut steps = plan.iter().peekable();
    loop {
        let next_cure = broken.iter().min_by_key(|(_, (due, _))| *due);
        let next_cure = next_cure.map(|(target, (due, cure))| (*target, *due, *cure));
        let next_step = steps.peek().map(|step| began + Duration::from_millis(step.at_ms));
        match (next_cure, next_step) {
            (Some((target, due, cure)), step) if step.is_none_or(|step| due <= step) => {
                tokio::time::sleep_until(due.into()).await;
                if matches!(cure, Cure::StartEmpty) {
                    empty_disk(stage, cluster, target, control_since).await?;
                }
                mend(stage, cluster, target, cure)?;
                if target == Target::Control {
                    control_since = Instant::now();
                }
                broken.remove(&target);
            }
            (_, Some(due)) => {
                tokio::time::sleep_until(due.into()).await;
                let Some(step) = steps.next() else { continue };
                if let Entry::Vacant(whole) = broken.entry(step.target) {
                    let cure = break_part(stage, cluster, *step)?;
                    let least = if matches!(cure, Cure::StartEmpty) { DECIDED } else { Duration::ZERO };
                    let due = Instant::now() + Duration::from_millis(step.for_ms).max(least);
                    whole.insert((due, cure));
                }
            }
            _ => return Ok(()),
        }
    }
}

fn break_part(stage: &Stage, cluster: &mut Cluster, step: Step) -> anyhow::Result<Cure> {
    let id = part(cluster, step.target).part.id.clone();
    if step.harm == Harm::Stop {
        if let Target::Envoy(at) = step.target {
            let since = stage.now();
            stage.lagging[at].fetch_min(since, Ordering::SeqCst);
        }
        part(cluster, step.target).stop()?;
        tally::count(&mut stage.tally().harms, format!("stopped: {id}"));
        return Ok(Cure::Continue);
    }
    part(cluster, step.target).kill();
    tally::count(&mut stage.tally().harms, format!("killed: {id}"));
    Ok(if step.harm == Harm::Wipe { Cure::StartEmpty } else { Cure::Start })
}

/// Empties the disk of a dead node, if no shard needs it: control has been there long enough to have decided all writes
/// that the node took, and each of its shards has another copy in sync.
async fn empty_disk(stage: &Stage, cluster: &mut Cluster, target: Target, control: Instant) -> anyhow::Result<()> {
    let Target::Node(at) = target else { return Ok(()) };
    if control.elapsed() >= DECIDED && spared(cluster, at).await {
        cluster.wipe(at)?;
        tally::count(&mut stage.tally().harms, format!("disk emptied: node-{at}"));
    }
    Ok(())
}

/// True when each shard of this node has another copy in sync: its disk may be lost.
async fn spared(cluster: &Cluster, node: usize) -> bool {
    let Ok(copies) = cluster.copies().await else { return false };
    let good =
        |shard: u64| copies.iter().any(|copy| copy.shard == shard && copy.node != node && copy.state == "inSync");
    copies.iter().filter(|copy| copy.node == node).all(|copy| good(copy.shard))
}

fn mend(stage: &Arc<Stage>, cluster: &mut Cluster, target: Target, cure: Cure) -> anyhow::Result<()> {
    match cure {
        Cure::Start | Cure::StartEmpty => part(cluster, target).restart()?,
        Cure::Continue => part(cluster, target).resume()?,
    }
    if let (Cure::Continue, Target::Envoy(at)) = (cure, target) {
        tokio::spawn(caught_up(Arc::clone(stage), cluster.client(at), cluster.operator_client(), at));
    }
    Ok(())
}

/// Waits until an Envoy that was stopped has control's map: before that it may show what was.
async fn caught_up(stage: Arc<Stage>, envoy: crate::Client, control: crate::Client, at: usize) {
    let since = stage.lagging[at].load(Ordering::SeqCst);
    loop {
        let newest = control.get("/_miroir/status").await.ok().and_then(|answer| answer.json()["epoch"].as_u64());
        let own = envoy.get("/_miroir/filter").await.ok().and_then(|answer| answer.json()["epoch"].as_u64());
        if newest.is_some() && own >= newest {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Stopped again meanwhile: the next one waits for itself.
    let _ = stage.lagging[at].compare_exchange(since, u64::MAX, Ordering::SeqCst, Ordering::SeqCst);
}
