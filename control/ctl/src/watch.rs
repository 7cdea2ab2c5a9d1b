//! Waiting for jobs: a progress bar on a terminal, a line for every step elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use miroir_admin::{Job, JobList, JobState, Verification};
use serde_json::Value;

use crate::client::{Answer, Client};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::show;

/// Pause between looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Without a terminal a line is printed when the state changes, and this often otherwise.
const REMIND: Duration = Duration::from_secs(30);

/// Shows how far a job is.
struct Progress {
    bar: Option<ProgressBar>,
    said: Option<(JobState, u64, Instant)>,
}

impl Progress {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} moves  {msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, said: None }
    }

    fn show(&mut self, job: &Job) {
        let settled = job.moves_done + job.moves_skipped;
        if let Some(bar) = &self.bar {
            bar.set_length(job.moves);
            bar.set_position(settled);
            bar.set_message(show::job_line(job));
            return;
        }
        let news = match self.said {
            None => true,
            Some((state, moves, at)) => {
                state != job.state
                    || at.elapsed() >= REMIND
                    || moves * 10 / job.moves.max(1) != settled * 10 / job.moves.max(1)
            }
        };
        if news {
            output::say(&show::job_line(job));
            self.said = Some((job.state, settled, Instant::now()));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Waits until a job is over, or without a number until none is under way; answers with the jobs as they are then.
/// A short failure of control (a restart) is waited out.
pub async fn wait(client: &Client, job: Option<u64>, timeout: Option<Duration>) -> Result<(Vec<Job>, Value), Failure> {
    let began = Instant::now();
    let mut progress = Progress::new();
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
                    progress.end();
                    return Err(Failure::new(Exit::NotFound, format!("There is no job {id}.")));
                }
                match wanted.iter().find(|job| !job.state.is_over()) {
                    Some(open) => progress.show(open),
                    None => {
                        progress.end();
                        return Ok((wanted, answer.json));
                    }
                }
            }
            Err(failure) if failure.exit == Exit::Unreachable && !over_time => {
                let since = *silent.get_or_insert_with(Instant::now);
                if since.elapsed() > REMIND {
                    progress.end();
                    return Err(failure);
                }
            }
            Err(failure) => {
                progress.end();
                return Err(failure);
            }
        }
        if over_time {
            progress.end();
            return Err(Failure::new(Exit::Unreachable, "The time is over; the job goes on."));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the comparison under way has ended.
pub async fn verification(client: &Client, timeout: Option<Duration>) -> Result<Answer<Verification>, Failure> {
    let began = Instant::now();
    let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(0).with_message("shards compared"));
    loop {
        let answer: Answer<Verification> = client.get(&["verify"]).await?;
        if !answer.read.running {
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            return Ok(answer);
        }
        if let Some(bar) = &bar {
            bar.set_length(answer.read.shards);
            bar.set_position(answer.read.shards_done);
        }
        if timeout.is_some_and(|timeout| began.elapsed() >= timeout) {
            return Err(Failure::new(Exit::Unreachable, "The time is over; the comparison goes on."));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
