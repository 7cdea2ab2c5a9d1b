//! One process that a cluster is made of: it can be killed, stopped, continued and started again as it was.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// How to start a part, and where it is: what `cluster.json` holds of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `node-0`, `control`, `envoy-0`.
    pub id: String,
    /// Where it answers.
    pub url: String,
    /// Process id while it runs.
    pub pid: Option<u32>,
    /// Its output.
    pub log: PathBuf,
    /// Program and arguments, to start it again.
    pub command: Vec<String>,
}

impl Part {
    /// Starts the process; its output is appended to the log.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(&mut self) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let (program, arguments) = self.command.split_first().context("a part without a program")?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}: {program}", self.id))?;
        self.pid = Some(child.id());
        Ok(child)
    }
}

/// A started part. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    /// What was started.
    pub part: Part,
    child: Option<Child>,
}

impl Process {
    /// Starts a part.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(mut part: Part) -> anyhow::Result<Self> {
        let child = part.spawn()?;
        Ok(Self { part, child: Some(child) })
    }

    /// True while the process exists (a stopped one does).
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.part.pid = None;
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal("TERM")?;
        let mut child = self.child.take().context("not running")?;
        self.part.pid = None;
        Ok(child.wait()?)
    }

    /// SIGSTOP: the process keeps its sockets and answers nothing.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.signal("STOP")
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal("CONT")
    }

    /// Starts it again as it was.
    ///
    /// # Errors
    /// When it still runs or cannot be started.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        ensure!(!self.runs(), "{} still runs", self.part.id);
        self.child = Some(self.part.spawn()?);
        Ok(())
    }

    fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.part.pid.with_context(|| format!("{} does not run", self.part.id))?;
        signal(pid, name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "cannot send {name} to process {pid}");
    Ok(())
}

/// The last lines of a log, for messages.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(20)).copied().collect::<Vec<_>>().join("\n")
}
