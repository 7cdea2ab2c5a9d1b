//! Exit codes: one table, from which the help and the reference are printed too.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; `status`: fine.
    Fine,
    /// `status`: degraded.
    Degraded,
    /// `status`: shards down.
    Down,
    /// The command failed.
    Failed,
    /// No such thing.
    NotFound,
    /// Refused by a check.
    Refused,
    /// `verify`: replicas differ. `findings`: some are not acknowledged.
    Findings,
    /// No answer.
    Unreachable,
    /// The admin key was not taken.
    Denied,
    /// The command line makes no sense.
    Usage,
}

/// Every code with what it means.
pub const TABLE: [(Exit, u8, &str); 10] = [
    (Exit::Fine, 0, "done; for `status`: every shard has all its copies"),
    (
        Exit::Degraded,
        1,
        "`status`: every shard is served, but redundancy is lost or a part needs a look; `verify`: some could not be compared",
    ),
    (Exit::Down, 2, "`status`: some shards are not served"),
    (Exit::Failed, 3, "control, or this command, failed"),
    (Exit::NotFound, 4, "no such node, job, shard or index"),
    (Exit::Refused, 5, "refused: it would lose data, contradicts what is under way, or was not confirmed"),
    (Exit::Findings, 6, "`verify`: replicas differ; `findings`: some are not acknowledged; they are printed"),
    (Exit::Unreachable, 7, "control does not answer, or `--timeout` is over"),
    (Exit::Denied, 8, "the admin key is missing or wrong, or the admin API is closed"),
    (Exit::Usage, 64, "the command line is wrong; nothing was done"),
];

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        TABLE.iter().find(|(exit, _, _)| *exit == self).map_or(3, |(_, code, _)| *code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The table for the end of `--help`.
pub fn help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (_, code, meaning) in TABLE {
        text.push_str(&format!("  {code:2}  {}\n", meaning.replace('`', "")));
    }
    text
}

/// Why a command ends without success.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is shown.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_end_has_its_own_code() {
        let mut codes: Vec<u8> = TABLE
            .iter()
            .map(|(exit, code, _)| {
                assert_eq!(exit.code(), *code);
                *code
            })
            .collect();
        codes.dedup();
        assert_eq!(codes.len(), TABLE.len());
        assert!(help().contains(" 6  verify: replicas differ"));
    }
}
