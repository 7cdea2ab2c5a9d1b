//! `restore` and `recover`: control's store from a backup, or from nothing but the nodes.
//!
//! Both rest on what the nodes hold, because a backup is older than they are: writes, tasks, keys, moved shards and
//! failed copies that came after it are known to the nodes alone. What a backup adds is what nodes cannot tell: the
//! history of tasks, webhooks, secrets of embedders. So, in this order:
//!
//! 1. all nodes are looked at ([`survey`]); one that does not answer must be left out by name;
//! 2. all are fenced, and carry out what is in their queues: nobody who knew the old store can write any more;
//! 3. indexes, keys and settings are rebuilt ([`indexes`], [`keys`]), and nodes that lack some are told;
//! 4. all copies of each shard are compared ([`compare`]); where they differ, what is dropped is written to the findings
//!    file first, and the copy that is kept gets what only others have ([`verdict`]);
//! 5. the store is written ([`rows`]), with numbers that nobody has been given ([`numbers`]).
//!
//! Until the last step nothing is in the store: it may be repeated whenever it broke off.

pub(crate) mod adopt;
mod compare;
mod fence;
mod indexes;
mod keys;
mod known;
mod layout;
mod members;
mod numbers;
mod rows;
mod survey;
#[cfg(test)]
mod testing;
mod verdict;

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use tokio::net::TcpListener;

use crate::cluster::open_store;
use crate::config::{Config, ServeArguments};
use crate::node::Client;
use crate::store::{Lease, Location, Store};
use known::Known;
use numbers::Numbers;
use survey::Survey;

/// What `restore` and `recover` are told.
#[derive(Clone, Debug, clap::Args)]
pub struct RecoverArguments {
    /// Where nodes and store are, as for `serve`.
    #[command(flatten)]
    pub serve: ServeArguments,
    /// Only look: say what is found and what would be done. Nothing is changed, on no node either.
    #[arg(long)]
    pub dry_run: bool,
    /// Go on although this node does not answer (may be given several times). What only it holds is given up: it is
    /// filled anew when it comes back.
    #[arg(long, value_name = "NODE")]
    pub without: Vec<String>,
    /// Go on although shards may be lost with the nodes that do not answer.
    #[arg(long)]
    pub accept_loss: bool,
    /// Replace what the store holds.
    #[arg(long)]
    pub force: bool,
}

/// Rebuilds control's store, from a backup and the nodes or from the nodes alone. Tells what it finds on standard
/// output.
///
/// # Errors
/// What keeps it from being rebuilt; the store is empty then, and nodes hold no less than before.
pub async fn run(config: Config, arguments: &RecoverArguments, backup: Option<PathBuf>) -> anyhow::Result<()> {
    // Held to the end: a control that is started too early does not get them.
    let mut held = Vec::new();
    for address in [config.listen_api, config.listen_internal] {
        let why = || format!("{address} is taken: control must not run while its store is made");
        held.push(TcpListener::bind(address).await.with_context(why)?);
    }
    let known = backup.as_deref().map(Known::read).transpose()?.unwrap_or_default();
    let vacant = match arguments.dry_run {
        true => None,
        false => Some(vacant(&config.store, arguments.force).await?),
    };
    let looked = members::look(&config, &known, arguments).await?;
    let identity = looked.identity(&config, &known).await?;
    say(&format!(
        "cluster {}, {} shards, {} copies of each",
        identity.id, identity.shards, identity.replication_factor
    ));
    let client = Client::new(&config.secrets, &identity.id, identity.shards, Default::default());
    let nodes = looked.nodes();
    refuse_bad_addresses(&client, &nodes)?;
    let look_again = || async { Survey::take(&client, &nodes, &known).await.complete() };

    let term = numbers::term(&looked.survey, &known);
    if vacant.is_some() {
        fence::fence(&client, &config, &looked.survey, &known, term).await?;
    }
    let mut survey = look_again().await?;
    let note = looked.note.as_ref();
    let numbers = Numbers::new(&survey, &known, note, term);
    let rebuilt = indexes::rebuild(&survey, &known, note, numbers.next_uid)?;
    let keys = keys::rebuild(&survey, &known);
    looked.said.iter().chain(&rebuilt.said).chain(&keys.said).for_each(|line| say(line));
    indexes::tell_nodes(&client, &config, &survey, &rebuilt.rows, vacant.is_some()).await?;
    if vacant.is_some() {
        survey = look_again().await?;
    }

    let compared = compare::Comparison {
        client: &client,
        config: &config,
        survey: &survey,
        rows: &rebuilt.rows,
        note,
        shards: identity.shards,
        finding: numbers.finding,
        writes: vacant.is_some(),
    };
    let compared = compared.run().await?;
    compared.told().for_each(|line| say(&line));
    let layout = layout::Layout::new(&looked.members, &compared.holders, &known, note, &identity)?;
    layout.told().for_each(|line| say(&line));
    let Some(vacant) = vacant else {
        say("dry run: nothing was changed");
        return Ok(());
    };
    // Documents may have been added to nodes, and with them tasks.
    survey = look_again().await?;
    let made = rows::Made {
        config: &config,
        known: &known,
        identity,
        members: &looked.members,
        survey: &survey,
        layout: &layout,
        numbers: &numbers,
        indexes: rebuilt.rows,
        keys: keys.records,
        findings: compared.findings,
        adopts: false,
    };
    let tasks = made.write(&vacant.store, backup.as_deref()).await?;
    if backup.is_some() {
        say(&format!("{tasks} tasks of the backup"));
    }
    say(&format!("uids of new tasks begin above {}", numbers.next_uid));
    say("the store is complete: start control now");
    if let Some(lease) = vacant.lease {
        lease.release().await;
    }
    Ok(())
}

/// A store that may be filled.
struct Vacant {
    store: Store,
    lease: Option<Lease>,
}

async fn vacant(location: &Location, force: bool) -> anyhow::Result<Vacant> {
    let lease = match location {
        Location::File(_) => None,
        Location::Redis(redis) => {
            let patience = std::time::Duration::from_millis(redis.lease_ms) + std::time::Duration::from_secs(5);
            let lease = tokio::time::timeout(patience, Lease::wait_for(redis, "recover")).await;
            let Ok(lease) = lease else {
                bail!("{location} cannot be reached, or a control leads: no control may run while the store is made")
            };
            Some(lease?)
        }
    };
    let (store, loaded) = open_store(location, lease.clone()).await?;
    let reader = store.reader().clone();
    let tasks = tokio::task::spawn_blocking(move || reader.counts()).await??;
    let empty = loaded.snapshot == Default::default() && loaded.values.is_empty() && tasks.is_empty();
    ensure!(empty || force, "{location} is not empty: name another place, or give --force to replace what it holds");
    Ok(Vacant { store, lease })
}

fn refuse_bad_addresses(client: &Client, nodes: &[crate::config::Node]) -> anyhow::Result<()> {
    match client.set_nodes(nodes).into_iter().next() {
        Some(fault) => bail!(fault),
        None => Ok(()),
    }
}

/// For whoever watches.
fn say(line: &str) {
    use std::io::Write;
    // Whoever does not listen any more still gets a whole store.
    let _ = writeln!(std::io::stdout(), "{line}");
}
