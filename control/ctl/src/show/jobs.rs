//! Jobs, plans and losses.

use miroir_admin::{Amount, Job, JobKind, JobState, Loss, Move, Pace, Plan, ShardName, Skip};

use crate::output::{count, ranges, seconds, size, table};
use crate::show::deletions;

/// Moves of a plan that are listed in text; all of them are in JSON.
const LISTED: usize = 20;

/// Why a job moves copies.
pub fn why(kind: &JobKind) -> String {
    match kind {
        JobKind::Join { node } => format!("join of {node}"),
        JobKind::Drain { node } => format!("drain of {node}"),
        JobKind::Remove { node } => format!("removal of {node}"),
        JobKind::Replace { node, with } if node == with => format!("new disk of {node}"),
        JobKind::Replace { node, with } => format!("{with} for {node}"),
        JobKind::ReplicationFactor { from, to } if from == to => format!("missing copies of {to}"),
        JobKind::ReplicationFactor { from, to } => format!("copies {from} to {to}"),
        JobKind::Rebalance => "rebalance".to_owned(),
    }
}

fn amount(amount: Amount) -> String {
    format!("{} documents, {}", count(amount.documents), size(amount.bytes))
}

/// A job in one line.
pub fn job_line(job: &Job) -> String {
    // What a cancelled job left out was not made.
    let settled = job.moves_done + if job.state == JobState::Cancelled { 0 } else { job.moves_skipped };
    let mut text = format!("job {} ({}) {}: {settled} of {} moves", job.id, why(&job.why), job.state.name(), job.moves);
    if job.copied.documents > 0 {
        text.push_str(&format!(", {} copied", amount(job.copied)));
    }
    if let Some(left) = job.seconds_left.filter(|_| !job.state.is_over()) {
        text.push_str(&format!(", {} to go", seconds(left)));
    }
    if let Some(waiting) = job.waiting.as_ref().filter(|_| !job.state.is_over()) {
        text.push_str(&format!("; waits: {waiting}"));
    }
    if let Some(left) = &job.left {
        text.push_str(&format!("; {left}"));
    }
    text
}

/// All jobs, and what moves.
pub fn jobs(jobs: &[Job]) -> String {
    if jobs.is_empty() {
        return "no jobs".to_owned();
    }
    let row = |job: &Job| {
        vec![
            job.id.to_string(),
            why(&job.why),
            job.state.name().to_owned(),
            job.moves.to_string(),
            job.moves_done.to_string(),
            job.moves_skipped.to_string(),
            job.running.len().to_string(),
            count(job.copied.documents),
            size(job.copied.bytes),
            job.seconds_left.filter(|_| !job.state.is_over()).map(seconds).unwrap_or_default(),
        ]
    };
    let head = ["job", "why", "state", "moves", "done", "skipped", "running", "documents", "bytes", "to go"];
    let right = ["job", "moves", "done", "skipped", "running", "documents", "bytes"];
    let mut text = table(&head, &right, jobs.iter().map(row));
    for job in jobs {
        for skip in &job.skips {
            text.push_str(&format!("\njob {} skipped {}", job.id, skip_line(skip)));
        }
        if let Some(left) = &job.left {
            text.push_str(&format!("\njob {}: {left}", job.id));
        }
    }
    for job in jobs.iter().filter(|job| !job.state.is_over()) {
        for step in &job.running {
            text.push_str(&format!("\njob {}: {}", job.id, step_line(step)));
        }
        if let Some(waiting) = &job.waiting {
            text.push_str(&format!("\njob {} waits: {waiting}", job.id));
        }
        for line in job.deletions.iter().flat_map(deletions) {
            text.push_str(&format!("\njob {}: {line}", job.id));
        }
    }
    text
}

fn skip_line(skip: &Skip) -> String {
    let shards = ranges(&skip.shards.iter().map(|name| name.shard).collect::<Vec<_>>());
    let more = if skip.shards.len() < skip.moves as usize { ", ..." } else { "" };
    let moves = if skip.moves == 1 { "move" } else { "moves" };
    let named = if skip.shards.len() == 1 { "shard" } else { "shards" };
    format!("{} {moves}: {} ({named} {shards}{more})", skip.moves, skip.why)
}

fn step_line(step: &Move) -> String {
    let what = match (&step.leaving, &step.to) {
        (Some(leaving), Some(to)) => format!("{leaving} -> {to}"),
        (None, Some(to)) => format!("copy to {to}"),
        (Some(leaving), None) => format!("drop from {leaving}"),
        (None, None) => "nothing".to_owned(),
    };
    let size = step.estimate.map(|estimate| format!("  ({})", amount(estimate))).unwrap_or_default();
    format!("shard {:>5}  {what}{size}", step.shard)
}

/// How much a plan copies and how long that takes, and what the time goes by.
fn size_and_time(plan: &Plan) -> String {
    let (Some(estimate), Some(time), Some(pace)) = (plan.estimate, plan.seconds, plan.pace) else {
        return "documents, bytes and time unknown: no node said what its copies hold".to_owned();
    };
    let pace = match pace {
        Pace::Measured => "at the pace of the last jobs",
        Pace::Throttled => "at the throttle's pace",
        Pace::Assumed => {
            "at 4 s for the moves under way at once, 1,000 documents and 5 MB a second: no job has shown this cluster's \
             pace yet"
        }
    };
    format!("about {}, {} ({pace})", amount(estimate), seconds(time))
}

/// What would be done.
pub fn plan(plan: &Plan) -> String {
    if plan.moves.is_empty() {
        return "nothing would move".to_owned();
    }
    let mut text = format!(
        "{} moves, {} copies made (at least {} in any plan)\n",
        plan.moves.len(),
        plan.copies_made,
        plan.copies_least
    );
    text.push_str(&format!("{}\n\n", size_and_time(plan)));
    let row = |node: &miroir_admin::NodeLoad| {
        let change = i128::from(node.after) - i128::from(node.before);
        vec![
            node.id.clone(),
            node.before.to_string(),
            node.after.to_string(),
            format!("{change:+}"),
            format!("{:.1}", node.share),
        ]
    };
    let head = ["node", "copies", "afterwards", "change", "share"];
    text.push_str(&table(&head, &head[1..], plan.nodes.iter().map(row)));
    text.push('\n');
    for step in plan.moves.iter().take(LISTED) {
        text.push_str(&format!("\n{}", step_line(step)));
    }
    if plan.moves.len() > LISTED {
        text.push_str(&format!("\n... and {} more (all with --output json)", plan.moves.len() - LISTED));
    }
    text
}

/// What was lost.
pub fn loss(loss: &Loss) -> String {
    let shards = |names: &[ShardName]| ranges(&names.iter().map(|name| name.shard).collect::<Vec<_>>());
    let mut lines = Vec::new();
    if !loss.promoted.is_empty() {
        lines.push(format!("shards that go on from an older copy: {}", shards(&loss.promoted)));
    }
    if !loss.emptied.is_empty() {
        lines.push(format!("shards that are empty from now on: {}", shards(&loss.emptied)));
    }
    if loss.tasks.is_empty() {
        lines.push("no task is known whose writes are lost; older ones may be".to_owned());
    } else {
        lines.push(format!("tasks whose writes are lost, or may be: {}", ranges(&loss.tasks)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use miroir_admin::NodeLoad;

    fn job() -> Job {
        Job {
            id: 3,
            why: JobKind::Join { node: "node-3".into() },
            state: JobState::Running,
            waiting: None,
            deletions: None,
            left: None,
            moves: 32,
            moves_done: 10,
            moves_skipped: 1,
            skips: vec![Skip {
                why: "node-3 has a good copy already".into(),
                moves: 1,
                shards: vec![ShardName { placement: 0, shard: 5 }],
            }],
            running: vec![Move {
                placement: 0,
                shard: 17,
                to: Some("node-3".into()),
                leaving: Some("node-0".into()),
                estimate: Some(Amount { documents: 1500, bytes: 2_000_000 }),
            }],
            estimate: None,
            copied: Amount { documents: 15_000, bytes: 20_000_000 },
            created_ms: 0,
            started_ms: Some(1),
            finished_ms: None,
            seconds_left: Some(75),
        }
    }

    #[test]
    fn a_job_in_one_line() {
        assert_eq!(
            job_line(&job()),
            "job 3 (join of node-3) running: 11 of 32 moves, 15,000 documents, 20.0 MB copied, 1 min 15 s to go"
        );
    }

    #[test]
    fn a_cancelled_job_counts_what_was_made() {
        let cancelled = Job { state: JobState::Cancelled, moves_done: 0, moves_skipped: 32, ..job() };
        assert!(job_line(&cancelled).starts_with("job 3 (join of node-3) cancelled: 0 of 32 moves"));
    }

    #[test]
    fn jobs_in_text() {
        assert_eq!(
            jobs(&[job()]),
            "\
JOB  WHY             STATE    MOVES  DONE  SKIPPED  RUNNING  DOCUMENTS    BYTES  TO GO
  3  join of node-3  running     32    10        1        1     15,000  20.0 MB  1 min 15 s
job 3 skipped 1 move: node-3 has a good copy already (shard 5)
job 3: shard    17  node-0 -> node-3  (1,500 documents, 2.0 MB)"
        );
        assert_eq!(jobs(&[]), "no jobs");
    }

    #[test]
    fn a_plan_in_text() {
        let load = |id: &str, before, after| NodeLoad { id: id.into(), before, after, share: 6.4 };
        let mut made = Plan {
            moves: job().running,
            copies_made: 1,
            copies_least: 1,
            estimate: Some(Amount { documents: 1500, bytes: 2_000_000 }),
            seconds: Some(4),
            pace: Some(Pace::Assumed),
            nodes: vec![load("node-0", 8, 7), load("node-3", 0, 1)],
        };
        assert_eq!(
            plan(&made),
            "\
1 moves, 1 copies made (at least 1 in any plan)
about 1,500 documents, 2.0 MB, 4 s (at 4 s for the moves under way at once, 1,000 documents and 5 MB a second: no job has shown this cluster's pace yet)

NODE    COPIES  AFTERWARDS  CHANGE  SHARE
node-0       8           7      -1    6.4
node-3       0           1      +1    6.4

shard    17  node-0 -> node-3  (1,500 documents, 2.0 MB)"
        );
        (made.estimate, made.seconds, made.pace) = (None, None, None);
        assert!(plan(&made).contains("documents, bytes and time unknown: no node said"), "{}", plan(&made));
    }

    #[test]
    fn a_loss_names_shards_and_tasks() {
        let name = |shard| ShardName { placement: 0, shard };
        let lost = Loss { promoted: vec![name(1), name(2)], emptied: vec![name(9)], tasks: vec![40, 41] };
        assert_eq!(
            loss(&lost),
            "shards that go on from an older copy: 1-2\nshards that are empty from now on: 9\n\
             tasks whose writes are lost, or may be: 40-41"
        );
    }
}
