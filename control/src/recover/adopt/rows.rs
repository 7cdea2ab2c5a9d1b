//! The store of a cluster that begins with a node that has data.

use anyhow::Context;
use miroir_sequencer::CopyState;

use super::super::known::Known;
use super::super::layout::Layout;
use super::super::members::Member;
use super::super::numbers::{self, Numbers};
use super::super::rows::Made;
use super::super::survey::{Index, Survey};
use super::super::{indexes, keys};
use super::prospect::{Prospect, client_settings};
use crate::cluster::{Identity, IndexRow, KeyRecord};
use crate::config::Config;
use crate::keys::default_keys;
use crate::store::Store;

/// Fills the store: one copy of each shard, on that node and in sync.
pub(super) async fn write(config: &Config, prospect: &Prospect, store: &Store) -> anyhow::Result<()> {
    let survey = &prospect.survey;
    let found = survey.found.first().context("the node was not seen")?;
    let known = Known { newest: found.tasks.last.as_ref().map(|(uid, _)| *uid), ..Known::default() };
    let numbers = Numbers::new(survey, &known, None, numbers::term(survey, &known));
    let rows: Vec<IndexRow> = (u64::from(numbers.next_uid)..)
        .zip(&found.indexes)
        .map(|(incarnation, index)| row(index, incarnation))
        .collect();
    let owners = vec![vec![found.node.id.clone()]; usize::try_from(config.shards)?];
    let identity = Identity { id: Identity::new_id(), shards: config.shards, replication_factor: 1, owners };
    let copies = vec![vec![(found.node.id.clone(), CopyState::InSync)]; usize::try_from(config.shards)?];
    let made = Made {
        config,
        known: &known,
        identity,
        members: &[Member { node: found.node.clone(), is_there: true }],
        survey,
        layout: &Layout::new_of(copies, 1),
        numbers: &numbers,
        indexes: rows,
        keys: records(config, survey),
        findings: Vec::new(),
        adopts: true,
    };
    made.write(store, None).await?;
    Ok(())
}

fn records(config: &Config, survey: &Survey) -> Vec<KeyRecord> {
    match config.secrets.master_key {
        Some(_) => keys::of_one(survey),
        None => default_keys(),
    }
}

fn row(index: &Index, incarnation: u64) -> IndexRow {
    let (settings, _) = client_settings(&index.found.settings);
    IndexRow {
        uid: index.found.uid.clone(),
        incarnation,
        placement: 0,
        primary_key: index.found.primary_key.clone(),
        provisional: false,
        swapping: false,
        settings: settings.to_stored(),
        view: settings.search_view(),
        created_ms: indexes::millis(&index.created_at).unwrap_or(0),
        updated_ms: indexes::millis(&index.updated_at).unwrap_or(0),
    }
}
