//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::adopt;
use crate::exit;
use crate::parse;
use crate::simulate::Arguments as Simulate;

/// The operator's tool for Miroir clusters: how the cluster is, nodes that come and go, moves of shards, repair.
///
/// It talks to control's admin API. Data goes to standard output, everything else to standard error.
#[derive(Debug, Parser)]
#[command(name = "miroirctl", version, after_help = exit::help(), propagate_version = false)]
pub struct Cli {
    /// Where and how to ask.
    #[command(flatten)]
    pub connection: Connection,
    /// Form of the output.
    #[arg(long, short, global = true, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    pub output: Form,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where and how to ask control. The key is never an argument: other users may see those.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// Control's internal listener (or its public one, or Envoy, where the admin API is made public).
    #[arg(long, global = true, env = "MIROIR_ADMIN_URL", default_value = "http://127.0.0.1:7702", value_name = "URL")]
    pub url: String,
    /// File that holds the admin key. Without it the environment variable MIROIR_ADMIN_KEY is read.
    #[arg(long, global = true, env = "MIROIR_ADMIN_KEY_FILE", value_name = "FILE")]
    pub admin_key_file: Option<PathBuf>,
    /// CA bundle (PEM) for an https URL with a private CA.
    #[arg(long, global = true, env = "MIROIR_ADMIN_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Longest wait for an answer, and for the end of what is waited for (30s, 5m, 2h). Default: 30s for an answer, no
    /// limit for the end of a job.
    #[arg(long, global = true, value_parser = parse::duration, value_name = "TIME")]
    pub timeout: Option<Duration>,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// The admin API's answer.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Is every shard covered? Which redundancy is lost, what is moving? The exit code says it for scripts.
    #[command(after_help = "Example:\n  miroirctl status || echo 'look at the cluster'")]
    Status,
    /// Makes a cluster of one node from a Meilisearch that has data, in place, while it goes on to be served: the only node
    /// in the configuration of a control that has never run. Lists what is there first.
    #[command(after_help = "Example:\n  miroirctl adopt --dry-run\n  miroirctl adopt node-0 --yes --wait")]
    Adopt(adopt::Arguments),
    /// Nodes: list, add, drain, remove, replace.
    #[command(subcommand)]
    Node(NodeCommand),
    /// Moves of shards: plan, start, watch, pause, resume, cancel, throttle.
    #[command(subcommand)]
    Rebalance(RebalanceCommand),
    /// Sets the number of copies of each shard, online.
    #[command(after_help = "Example:\n  miroirctl rf 3 --dry-run\n  miroirctl rf 3 --yes --wait")]
    Rf {
        /// Copies of each shard.
        #[arg(value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
        replication_factor: u8,
        #[command(flatten)]
        change: Change,
    },
    /// Brings copies that missed writes up to date now, rather than at the next turn.
    #[command(after_help = "Example:\n  miroirctl repair --node node-1")]
    Repair {
        /// Only copies on this node.
        #[arg(long, value_name = "NODE")]
        node: Option<String>,
    },
    /// Compares all replicas document by document, and prints where they differ. Nothing is changed.
    #[command(after_help = "Example:\n  miroirctl verify --index films")]
    Verify {
        /// Only this index.
        #[arg(long, value_name = "INDEX")]
        index: Option<String>,
        /// Do not start a comparison: show the last one.
        #[arg(long)]
        last: bool,
    },
    /// What the comparison of all replicas in the background found: where they differed without a known reason.
    #[command(after_help = "Example:\n  miroirctl findings\n  miroirctl findings --acknowledge")]
    Findings {
        /// Take note of all of them: they are no reason for `status` to say `degraded` any more.
        #[arg(long)]
        acknowledge: bool,
    },
    /// Which copy of which shard is where, as a grid of shards × nodes.
    #[command(after_help = "Example:\n  miroirctl shards")]
    Shards {
        /// Position of the placement.
        #[arg(long, default_value_t = 0, value_name = "N")]
        placement: u16,
    },
    /// What is done with single shards.
    #[command(subcommand)]
    Shard(ShardCommand),
    /// Writes a backup of control's store to a file, from the running cluster. The nodes' documents are not in it. To bring
    /// it back: `miroir-control restore FILE`, while no control runs.
    #[command(after_help = "Example:\n  miroirctl backup /backups/control.jsonl")]
    Backup {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace the file if it exists.
        #[arg(long)]
        force: bool,
    },
    /// How a search is carried out: nodes, shards, filters, times. Control runs it in the filter's place.
    #[command(
        after_help = "Example:\n  miroirctl explain --index films 'star wars' --search '{\"filter\": \"year > 1990\"}'"
    )]
    Explain {
        /// The query (`q`).
        #[arg(value_name = "QUERY", default_value = "")]
        query: String,
        /// Index uid.
        #[arg(long, value_name = "INDEX")]
        index: String,
        /// Further search parameters, as a JSON object.
        #[arg(long, value_name = "JSON", value_parser = parse::object)]
        search: Option<serde_json::Value>,
        /// Show the filters that the nodes get, and the bodies with `--output json`.
        #[arg(long)]
        filters: bool,
    },
    /// What a change of nodes or copies would move, computed here: no cluster is asked.
    #[command(
        after_help = "Examples:\n  miroirctl simulate --nodes 3 --documents 10000000 --bytes 20GB --add 2 --rf 3\n  \
                            miroirctl shards --output json > map.json && miroirctl simulate --map map.json --remove node-1"
    )]
    Simulate(Simulate),
    /// Prints a script that completes commands in a shell.
    #[command(after_help = "Example:\n  miroirctl completions bash > /etc/bash_completion.d/miroirctl")]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Prints the reference of all commands in Markdown.
    #[command(hide = true)]
    Reference,
}

/// How a change is carried out.
#[derive(Clone, Debug, Args)]
pub struct Change {
    /// Print what would be done, and do nothing.
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    /// Do not ask; needed where standard input is no terminal.
    #[arg(long, short)]
    pub yes: bool,
    /// Wait until it is done, and show how far it is.
    #[arg(long, short)]
    pub wait: bool,
}

/// A node, in words.
#[derive(Clone, Debug, Args)]
pub struct NewNode {
    /// Share of the data relative to other nodes (1 if left out).
    #[arg(long, value_name = "W", value_parser = parse::weight, allow_negative_numbers = true)]
    pub weight: Option<f64>,
    /// Replicas of a shard are kept in different zones where zones are given.
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// CA bundle (PEM), as control and Envoy see it, for an https URL with a private CA.
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<String>,
}

/// `node …`
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// All nodes: state, copies, version.
    #[command(after_help = "Example:\n  miroirctl node list")]
    List,
    /// Takes a node in and moves its share of the shards to it.
    #[command(after_help = "Example:\n  miroirctl node add node-3 http://10.0.0.4:7700 --zone b --yes --wait")]
    Add {
        /// Id, 1 to 40 of a-z, 0-9 and -. For ever: data on disk belongs to it.
        id: String,
        /// Base URL, as control and Envoy reach the node.
        #[arg(value_name = "URL")]
        address: String,
        #[command(flatten)]
        node: NewNode,
        #[command(flatten)]
        change: Change,
    },
    /// Moves all shards of a node to others; it stays a member without shards.
    #[command(after_help = "Example:\n  miroirctl node drain node-1 --yes --wait")]
    Drain {
        /// The node.
        node: String,
        #[command(flatten)]
        change: Change,
    },
    /// Forgets a node: an empty one at once, one out of reach when its copies have been made elsewhere. Refused while
    /// it serves shards, and while data would be lost.
    #[command(after_help = "Example:\n  miroirctl node remove node-1 --yes")]
    Remove {
        /// The node.
        node: String,
        /// Give up what only this node has. Prints what is lost.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        change: Change,
    },
    /// Puts another machine, or another disk, in the place of a node: only its shards are copied.
    #[command(
        after_help = "Examples:\n  miroirctl node replace node-1 --yes --wait              # an empty disk at the same address\n  \
                            miroirctl node replace node-1 --with node-9 --to http://10.0.0.9:7700 --yes --wait"
    )]
    Replace {
        /// The node that goes.
        node: String,
        /// Id of the node that comes; left out: the same id with an empty disk.
        #[arg(long, value_name = "ID", requires = "to")]
        with: Option<String>,
        /// Base URL of what comes.
        #[arg(long, value_name = "URL")]
        to: Option<String>,
        #[command(flatten)]
        new: NewNode,
        #[command(flatten)]
        change: Change,
    },
}

/// `rebalance …`
#[derive(Debug, Subcommand)]
pub enum RebalanceCommand {
    /// What would be moved to even out what the nodes hold.
    #[command(after_help = "Example:\n  miroirctl rebalance plan")]
    Plan,
    /// Evens out what the nodes hold.
    #[command(after_help = "Example:\n  miroirctl rebalance start --yes --wait")]
    Start {
        #[command(flatten)]
        change: Change,
    },
    /// Jobs: what moves, how far it is.
    #[command(after_help = "Example:\n  miroirctl rebalance status")]
    Status {
        /// Only this job.
        job: Option<u64>,
    },
    /// Waits until a job is over; without a number, until none is under way.
    #[command(after_help = "Example:\n  miroirctl rebalance wait 3 --timeout 2h")]
    Wait {
        /// The job.
        job: Option<u64>,
    },
    /// Starts no further move of a job; those under way end.
    #[command(after_help = "Example:\n  miroirctl rebalance pause 3")]
    Pause {
        /// The job.
        job: u64,
    },
    /// Goes on with a paused job.
    #[command(after_help = "Example:\n  miroirctl rebalance resume 3")]
    Resume {
        /// The job.
        job: u64,
    },
    /// Ends a job: shards that have moved stay where they are, the others do not move.
    #[command(after_help = "Example:\n  miroirctl rebalance cancel 3")]
    Cancel {
        /// The job.
        job: u64,
    },
    /// Sets the pace of copying, for all jobs and repairs, from now on. What is left out has no limit.
    #[command(after_help = "Example:\n  miroirctl rebalance throttle --bytes-per-second 20MB --moves 1")]
    Throttle {
        /// Documents a second.
        #[arg(long, value_name = "N")]
        documents_per_second: Option<u64>,
        /// Bytes a second (20MB, 512KiB).
        #[arg(long, value_name = "SIZE", value_parser = parse::bytes)]
        bytes_per_second: Option<u64>,
        /// Moves of jobs under way at once.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        moves: Option<u32>,
    },
}

/// `shard …`
#[derive(Debug, Subcommand)]
pub enum ShardCommand {
    /// Accepts that what only copies out of reach have is lost: this node's copies of the shards count as in sync from
    /// now on. Prints the tasks whose writes are lost.
    #[command(after_help = "Example:\n  miroirctl shard accept-loss --node node-1 17 42 --yes")]
    AcceptLoss {
        /// The shards.
        #[arg(required = true, value_name = "SHARD")]
        shards: Vec<u32>,
        /// The node whose copies are taken.
        #[arg(long, value_name = "NODE")]
        node: String,
        /// Position of the placement.
        #[arg(long, default_value_t = 0, value_name = "N")]
        placement: u16,
        /// Do not ask; needed where standard input is no terminal.
        #[arg(long, short)]
        yes: bool,
    },
    /// Deletes the copies that leave without waiting for filters that have been silent for a while: their Envoys are gone
    /// for good. Without it such a filter keeps them for up to a day.
    #[command(after_help = "Example:\n  miroirctl shard force-deletion --yes")]
    ForceDeletion {
        /// Do not ask; needed where standard input is no terminal.
        #[arg(long, short)]
        yes: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_nodes_address_is_not_controls() {
        let cli = Cli::parse_from(["miroirctl", "node", "add", "n", "http://n:7700", "--url", "http://control:7702"]);
        assert_eq!(cli.connection.url, "http://control:7702");
        let Command::Node(NodeCommand::Add { address, .. }) = cli.command else { unreachable!() };
        assert_eq!(address, "http://n:7700");
    }

    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
            let path = format!("{path} {}", sub.get_name());
            if sub.has_subcommands() {
                leaves(sub, &path, found);
            } else {
                found.push((path, sub.clone()));
            }
        }
    }

    #[test]
    fn every_verb_has_examples_that_parse() {
        let mut verbs = Vec::new();
        leaves(&Cli::command(), "miroirctl", &mut verbs);
        assert!(verbs.len() > 15);
        for (path, verb) in verbs {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
            assert!(examples.iter().any(|example| example.contains(&path)), "{path} has no example");
            for example in examples.iter().flat_map(|line| line.split(" && ")) {
                let words = words(example);
                Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
            }
        }
    }

    /// The words of an example, up to a redirection, an alternative or a comment.
    fn words(example: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for character in example.chars() {
            match character {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                '>' | '|' | '#' if !quoted => break,
                _ => words.last_mut().unwrap().push(character),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }
}
