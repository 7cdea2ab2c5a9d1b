//! Waiting for jobs: a progress bar on a terminal, a line for every step elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use miroir_admin::{Job, JobList, JobState, Status, Verification};
use serde_json::Value;

use crate::client::{Answer, Client};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::show;

/// Pause between looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Without a terminal a line is printed when the state changes, and this often otherwise.
const REMIND: Duration = Duration::from_secs(30);

/// Decides when there is a line's worth of news.
struct Lines<T> {
    said: Option<(T, u64, Instant)>,
}

impl<T: Copy + PartialEq> Lines<T> {
    fn new() -> Self {
        Self { said: None }
    }

    /// Whether something is to be said: the first time, when the state is another one, at each tenth of the way, and
    /// when nothing was said for long.
    fn is_news(&mut self, state: T, done: u64, all: u64, now: Instant) -> bool {
        let tenth = |done: u64| done.saturating_mul(10) / all.max(1);
        let news = self.said.is_none_or(|(said, before, at)| {
            said != state || tenth(before) != tenth(done) || now.saturating_duration_since(at) >= REMIND
        });
        if news {
            self.said = Some((state, done, now));
        }
        news
    }
}

/// Shows how far something is.
struct Progress<T> {
    bar: Option<ProgressBar>,
    lines: Lines<T>,
}

impl<T: Copy + PartialEq> Progress<T> {
    fn new(unit: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(&format!("{{bar:30}} {{pos}}/{{len}} {unit}  {{msg}}"));
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, lines: Lines::new() }
    }

    /// `line` is said where there is no bar, `message` stands beside it where there is one.
    fn show(&mut self, state: T, done: u64, all: u64, message: &str, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(done);
            bar.set_message(message.to_owned());
        } else if self.lines.is_news(state, done, all, Instant::now()) {
            output::say(line);
        }
    }
}

impl Progress<JobState> {
    fn job(&mut self, job: &Job) {
        let line = show::job_line(job);
        self.show(job.state, job.moves_done + job.moves_skipped, job.moves, &line, &line);
    }
}

impl<T> Drop for Progress<T> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Waits until a job is over, or without a number until none is under way; answers with the jobs as they are then.
/// A short failure of control (a restart) is waited out.
pub async fn wait(client: &Client, job: Option<u64>, timeout: Option<Duration>) -> Result<(Vec<Job>, Value), Failure> {
    let began = Instant::now();
    let mut progress = Progress::new("moves");
    let mut silent: Option<Instant> = None;
    loop {
        let asked = client.get::<JobList>(&["jobs"]).await;
        let over_time = timeout.is_some_and(|timeout| began.elapsed() >= timeout);
        match asked {
            Ok(answer) => {
                silent = None;
                let wanted: Vec<Job> = match job {
                    Some(id) => answer.read.jobs.into_iter().filter(|job| job.id == id).collect(),
                    None => answer.read.jobs,
                };
                if let (Some(id), []) = (job, wanted.as_slice()) {
                    return Err(Failure::new(Exit::NotFound, format!("There is no job {id}.")));
                }
                match wanted.iter().find(|job| !job.state.is_over()) {
                    Some(open) => progress.job(open),
                    None => return Ok((wanted, answer.json)),
                }
            }
            Err(failure) if failure.exit == Exit::Unreachable && !over_time => {
                let since = *silent.get_or_insert_with(Instant::now);
                if since.elapsed() > REMIND {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
        if over_time {
            return Err(Failure::new(Exit::Unreachable, "The time is over; the job goes on."));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the comparison under way has ended.
pub async fn verification(client: &Client, timeout: Option<Duration>) -> Result<Answer<Verification>, Failure> {
    let began = Instant::now();
    let mut progress = Progress::new("shards compared");
    loop {
        let answer: Answer<Verification> = client.get(&["verify"]).await?;
        if !answer.read.running {
            return Ok(answer);
        }
        let Verification { shards_done: done, shards: all, findings_total: found, .. } = answer.read;
        progress.show((), done, all, "", &format!("{done} of {all} shards compared, {found} differences so far"));
        if timeout.is_some_and(|timeout| began.elapsed() >= timeout) {
            return Err(Failure::new(Exit::Unreachable, "The time is over; the comparison goes on."));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until all documents of an adopted node have their shard's tag.
pub async fn tagging(client: &Client, timeout: Option<Duration>) -> Result<(), Failure> {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let mut progress = Progress::new("documents");
    loop {
        match client.get::<Status>(&["status"]).await {
            Ok(Answer { read: Status { tagging: None, .. }, .. }) => return Ok(()),
            Ok(answer) => {
                let tagging = answer.read.tagging.unwrap_or_default();
                if let Some(line) = show::tagging_line(&tagging) {
                    let all = tagging.tagged.saturating_add(tagging.left.unwrap_or_default());
                    progress.show(tagging.index.is_some(), tagging.tagged, all, &line, &line);
                }
            }
            // The cluster is about to begin.
            Err(failure) if failure.exit == Exit::Unreachable => {}
            Err(failure) => return Err(failure),
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Err(Failure::new(Exit::Unreachable, "not all documents have their tags yet; it goes on by itself"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_said_for_every_tenth_every_state_and_now_and_then() {
        let start = Instant::now();
        let mut lines = Lines::new();
        let mut at = |state, done, seconds| lines.is_news(state, done, 50, start + Duration::from_secs(seconds));
        assert!(at(JobState::Running, 0, 0), "the first look");
        assert!(!at(JobState::Running, 4, 1));
        assert!(at(JobState::Running, 5, 2), "a tenth");
        assert!(!at(JobState::Running, 9, 3));
        assert!(at(JobState::Paused, 9, 4), "another state");
        assert!(!at(JobState::Paused, 9, 33));
        assert!(at(JobState::Paused, 9, 34), "silence for half a minute");
    }

    #[test]
    fn nothing_to_do_divides_nothing() {
        let mut lines = Lines::new();
        assert!(lines.is_news((), 0, 0, Instant::now()));
        assert!(!lines.is_news((), 0, 0, Instant::now()));
    }
}
