//! The signals that end the demo.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C reaches the parts too: one that ends by it may be noticed a moment before the demo's own signal.
const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// Listens from its making on, so that no signal ends the demo before it has ended what it started.
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// Which signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Interrupt,
    Terminate,
    Hangup,
}

impl Told {
    /// The exit code by which shells show that a program was ended by a signal.
    pub(super) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        })
    }
}

impl Stop {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal.
    pub(super) async fn told(&mut self) -> Told {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Told::Interrupt,
            Some(()) = self.terminate.recv() => Told::Terminate,
            Some(()) = self.hangup.recv() => Told::Hangup,
            else => std::future::pending().await,
        }
    }

    /// The signal behind a fault that has just come, where one is.
    pub(super) async fn behind_a_fault(&mut self) -> Option<Told> {
        tokio::time::timeout(SAME_SIGNAL, self.told()).await.ok()
    }
}
