//! `findings`, and the line of `status` about the comparison in the background.

use miroir_admin::{Drift, FindingList, Scrub};

use crate::output::{count, seconds, table};

/// Ids of documents that a line names.
const NAMED: usize = 5;

/// What the comparison in the background found.
pub fn findings(list: &FindingList) -> String {
    if list.findings.is_empty() {
        return "no findings".to_owned();
    }
    let rows = list.findings.iter().map(|drift| {
        vec![
            drift.id.to_string(),
            time(drift.found_ms),
            drift.index.clone(),
            drift.shard.map(|shard| shard.to_string()).unwrap_or_default(),
            drift.kept.clone().unwrap_or_else(|| "control".to_owned()),
            drift.lost.clone(),
            what(drift),
            state(drift).to_owned(),
        ]
    });
    let head = ["finding", "found", "index", "shard", "kept", "dropped", "what", "state"];
    let text = table(&head, &["finding", "shard"], rows);
    format!("{text}\n\nversions that were dropped: {}", list.file)
}

fn state(drift: &Drift) -> &'static str {
    match (drift.repaired_ms, drift.acknowledged) {
        (None, _) => "being repaired",
        (Some(_), false) => "repaired",
        (Some(_), true) => "repaired, acknowledged",
    }
}

fn what(drift: &Drift) -> String {
    if drift.shard.is_none() && drift.extra == 0 {
        return "the index itself".to_owned();
    }
    let extra = if drift.shard.is_none() { "of no copy there" } else { "extra" };
    let parts = [(drift.differing, "differ"), (drift.missing, "missing"), (drift.extra, extra)];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", count(number)))
        .collect();
    let more = if drift.differing + drift.missing + drift.extra > NAMED as u64 { ", ..." } else { "" };
    let named: Vec<&str> = drift.documents.iter().take(NAMED).map(String::as_str).collect();
    format!("{} ({}{more})", parts.join(", "), named.join(", "))
}

/// Unix milliseconds for people.
pub(super) fn time(ms: u64) -> String {
    let stamp = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    stamp.map(|stamp| stamp.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()
}

/// How far the comparison in the background is, in a line.
pub fn scrub_line(scrub: &Scrub) -> String {
    if scrub.interval_ms == 0 {
        return "off: replicas are compared by `miroirctl verify` only".to_owned();
    }
    let last = scrub.last.map_or_else(
        || "none complete yet".to_owned(),
        |last| {
            format!(
                "last complete {} ({}, {} documents, {} findings)",
                time(last.ended_ms),
                seconds(last.ended_ms.saturating_sub(last.started_ms).div_ceil(1_000)),
                count(last.tally.documents),
                last.tally.findings
            )
        },
    );
    let waiting = scrub.waiting.as_ref().map(|why| format!("; waits: {why}")).unwrap_or_default();
    format!("pass {}: {} of {} steps; {last}{waiting}", scrub.pass, scrub.steps_done, scrub.steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use miroir_admin::{ScrubPass, ScrubTally};

    fn drift(id: u64, shard: Option<u32>) -> Drift {
        Drift {
            id,
            found_ms: 1_700_000_000_000,
            index: "films".into(),
            placement: 0,
            shard,
            kept: shard.map(|_| "node-0".into()),
            lost: "node-1".into(),
            differing: 1,
            missing: 0,
            extra: 5,
            documents: ["1", "2", "3", "4", "5", "6"].map(str::to_owned).to_vec(),
            repaired_ms: shard.map(|_| 1_700_000_001_000),
            acknowledged: false,
        }
    }

    #[test]
    fn findings_in_text() {
        let itself = Drift { differing: 0, extra: 0, ..drift(2, None) };
        let outsiders = Drift { differing: 0, extra: 1, documents: vec!["9".to_owned()], ..drift(3, None) };
        let list = FindingList { file: "f.jsonl".into(), findings: vec![drift(1, Some(7)), itself, outsiders] };
        assert_eq!(
            findings(&list),
            "\
FINDING  FOUND             INDEX  SHARD  KEPT     DROPPED  WHAT                                    STATE
      1  2023-11-14 22:13  films      7  node-0   node-1   1 differ, 5 extra (1, 2, 3, 4, 5, ...)  repaired
      2  2023-11-14 22:13  films         control  node-1   the index itself                        being repaired
      3  2023-11-14 22:13  films         control  node-1   1 of no copy there (9)                  being repaired

versions that were dropped: f.jsonl"
        );
    }

    #[test]
    fn how_far_it_is() {
        let tally = ScrubTally { compared: 16, documents: 3_201, findings: 2, ..ScrubTally::default() };
        let last = ScrubPass { pass: 1, started_ms: 1_700_000_000_000, ended_ms: 1_700_000_090_000, tally };
        let scrub = Scrub { interval_ms: 1, pass: 2, steps: 17, steps_done: 3, last: Some(last), ..Scrub::default() };
        assert_eq!(
            scrub_line(&scrub),
            "pass 2: 3 of 17 steps; last complete 2023-11-14 22:14 (1 min 30 s, 3,201 documents, 2 findings)"
        );
        let waiting = Scrub { waiting: Some("copying is paused".into()), last: None, ..scrub };
        assert_eq!(scrub_line(&waiting), "pass 2: 3 of 17 steps; none complete yet; waits: copying is paused");
        assert!(scrub_line(&Scrub::default()).starts_with("off"));
    }
}
