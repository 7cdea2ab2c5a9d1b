//! Which nodes there are, and which of them answer.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use miroir_core::hash::shard_of;
use miroir_core::tag::{self, MAX_SHARDS, TAG_FIELD};
use miroir_sequencer::NodePlace;
use serde_json::{Value, json};

use super::RecoverArguments;
use super::known::Known;
use super::survey::{ANSWER, Survey};
use crate::cluster::{Identity, NodeRequest, Note};
use crate::config::{Config, Node};
use crate::node::Client;

/// A member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) node: Node,
    /// It answered.
    pub(super) is_there: bool,
}

/// What a first look shows.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) members: Vec<Member>,
    pub(super) survey: Survey,
    pub(super) note: Option<Note>,
    pub(super) said: Vec<String>,
}

/// Looks at all nodes of which the configuration, the backup or a note on a node tells.
pub(super) async fn look(config: &Config, known: &Known, arguments: &RecoverArguments) -> anyhow::Result<Looked> {
    // Only the survey is asked for, which needs neither the cluster's name nor the number of its shards.
    let client = Client::new(&config.secrets, "", config.shards, Default::default());
    let mut nodes: BTreeMap<String, Node> = config.nodes.iter().map(|node| (node.id.clone(), node.clone())).collect();
    for row in known.members() {
        let listed = nodes.get(&row.id).map(place);
        if listed.is_none() || listed == row.configured {
            nodes.insert(row.id.clone(), from_place(&row.id, &row.place)?);
        }
    }
    let mut survey = ask(&client, nodes.values(), known).await?;
    let mut said = Vec::new();
    let note = survey.note().cloned();
    if let Some(note) = &note {
        let others = note.members.iter().filter(|member| !nodes.contains_key(&member.id));
        let others: Vec<Node> = others.map(|member| member.node()).collect::<anyhow::Result<_>>()?;
        let more = ask(&client, nodes.values().chain(&others), known).await?;
        survey = more;
        nodes.extend(others.into_iter().map(|node| (node.id.clone(), node)));
        // Who is listed and was no member joins afterwards, as it would any other day.
        for id in nodes.keys().filter(|id| note.members.iter().all(|member| member.id != **id)) {
            said.push(format!("{id} was no member of the cluster: it joins when control runs"));
        }
        nodes.retain(|id, _| note.members.iter().any(|member| member.id == *id));
        survey.found.retain(|found| nodes.contains_key(&found.node.id));
        survey.silent.retain(|(node, _)| nodes.contains_key(&node.id));
    }
    let named = |id: &String| survey.silent.iter().any(|(node, _)| node.id == *id);
    if let Some(id) = arguments.without.iter().find(|id| !named(id)) {
        bail!("--without {id}: that is no member that does not answer");
    }
    for (node, why) in &survey.silent {
        ensure!(
            arguments.without.contains(&node.id),
            "node {} at {} does not answer ({why}): start it, or go on without what it holds by --without {}",
            node.id,
            node.url,
            node.id
        );
        said.push(format!("{} is left out: it is filled anew when it comes back", node.id));
    }
    ensure!(!survey.found.is_empty(), "no node answers");
    for found in &survey.found {
        if let Some(key) = found.write_keys.iter().find(|key| key.node != found.node.id) {
            bail!("at {} there is node {}, and not {}", found.node.url, key.node, found.node.id);
        }
    }
    let is_there = |id: &String| survey.found.iter().any(|found| found.node.id == *id);
    let members = nodes.into_iter().map(|(id, node)| Member { is_there: is_there(&id), node }).collect();
    let looked = Looked { members, survey, note, said };
    looked.weigh_losses(config, known, arguments)?;
    Ok(looked)
}

async fn ask(client: &Client, nodes: impl Iterator<Item = &Node>, known: &Known) -> anyhow::Result<Survey> {
    let nodes: Vec<Node> = nodes.cloned().collect();
    super::refuse_bad_addresses(client, &nodes)?;
    Ok(Survey::take(client, &nodes, known).await)
}

pub(super) fn place(node: &Node) -> NodePlace {
    NodePlace { url: node.url.to_string(), weight: node.weight, zone: node.zone.clone(), tls_ca: node.tls_ca.clone() }
}

fn from_place(id: &str, place: &NodePlace) -> anyhow::Result<Node> {
    Ok(Node {
        id: id.to_owned(),
        url: place.url.parse().with_context(|| format!("the URL of {id}"))?,
        weight: place.weight,
        zone: place.zone.clone(),
        tls_ca: place.tls_ca.clone(),
    })
}

impl crate::cluster::Member {
    fn node(&self) -> anyhow::Result<Node> {
        let url = self.url.clone();
        let (weight, zone, tls_ca) = (self.weight, self.zone.clone(), self.tls_ca.clone());
        from_place(&self.id, &NodePlace { url, weight, zone, tls_ca })
    }
}

impl Looked {
    /// The nodes that answered.
    pub(super) fn nodes(&self) -> Vec<Node> {
        self.survey.nodes()
    }

    /// Whether a shard may be lost with the nodes that do not answer.
    fn weigh_losses(&self, config: &Config, known: &Known, arguments: &RecoverArguments) -> anyhow::Result<()> {
        let silent = self.members.iter().filter(|member| !member.is_there).count();
        if silent == 0 || arguments.accept_loss {
            return Ok(());
        }
        match &self.note {
            Some(note) => {
                let found = || self.survey.found.iter().map(|found| found.node.id.as_str());
                let lost = (0..note.shards).filter(|shard| !found().any(|id| note.was_read(0, *shard, id)));
                let lost: Vec<u32> = lost.collect();
                ensure!(
                    lost.is_empty(),
                    "the newest copies of shards {} are on nodes that do not answer: start one of them, or give \
                     --accept-loss to go on with what older copies have",
                    miroir_core::read::shard_ranges(&lost)
                );
            }
            None => {
                let copies = usize::from(known.replication_factor().unwrap_or(config.replication_factor));
                ensure!(
                    silent < copies,
                    "{silent} nodes do not answer, and there are {copies} copies of each shard: some may be lost. Start \
                     one of them, or give --accept-loss to go on"
                );
            }
        }
        Ok(())
    }

    /// The cluster, as backup, notes and nodes tell.
    pub(super) async fn identity(&self, config: &Config, known: &Known) -> anyhow::Result<Identity> {
        let clusters = self.survey.clusters();
        let first = known.identity.as_ref();
        let id = match (first, clusters.iter().copied().collect::<Vec<_>>().as_slice()) {
            (Some(first), []) => first.id.clone(),
            (Some(first), [one]) if *one == first.id => first.id.clone(),
            (Some(first), others) => {
                bail!("the backup is of cluster {}, and the nodes are of {}", first.id, others.join(", "))
            }
            (None, [one]) => (*one).to_owned(),
            (None, []) => Identity::new_id(),
            (None, several) => bail!("the nodes are of several clusters: {}", several.join(", ")),
        };
        let told = first.map(|first| first.shards).or(self.note.as_ref().map(|note| note.shards));
        let shards = told.or(self.shards_of_documents(config).await?).unwrap_or(config.shards);
        ensure!(
            shards == config.shards,
            "the cluster has {shards} shards, the configuration says {}: set it to {shards}",
            config.shards
        );
        let noted = self.note.as_ref().map(|note| note.replication_factor);
        let replication_factor = noted.or(known.replication_factor()).unwrap_or(config.replication_factor);
        Ok(Identity { id, shards, replication_factor, owners: Vec::new() })
    }

    /// The number of shards for which documents carry the tags that they carry.
    async fn shards_of_documents(&self, config: &Config) -> anyhow::Result<Option<u32>> {
        let client = Client::new(&config.secrets, "", config.shards, Default::default());
        super::refuse_bad_addresses(&client, &self.survey.nodes())?;
        let indexes = self.survey.found.iter().flat_map(|found| found.indexes.iter().map(move |index| (found, index)));
        let Some((found, index)) = indexes.max_by_key(|(_, index)| index.documents) else { return Ok(None) };
        let Some(key) = &index.found.primary_key else { return Ok(None) };
        let body = json!({ "fields": [key, TAG_FIELD], "limit": 1000 });
        let path = format!("/indexes/{}/documents/fetch", index.found.uid);
        let request = NodeRequest { method: "POST".to_owned(), path, body: Some(body) };
        let answer = client.call(&found.node.id, &request, ANSWER).await?;
        ensure!(answer.status == 200, "reading documents of {}: {}", found.node.id, answer.status);
        let page: Value = serde_json::from_slice(&answer.body)?;
        let documents = page["results"].as_array().into_iter().flatten();
        let tagged: Vec<(String, String)> = documents.filter_map(|document| tagged(document, key)).collect();
        if tagged.is_empty() {
            return Ok(None);
        }
        let fits = |count: &u32| {
            tagged.iter().all(|(key, text)| tag::decode(text, *count) == Some(shard_of(key.as_bytes(), *count)))
        };
        let found = (1..=MAX_SHARDS).find(fits).context("the tags of documents are of no number of shards")?;
        Ok(Some(found))
    }
}

/// A document's canonical key and its tag.
fn tagged(document: &Value, primary_key: &str) -> Option<(String, String)> {
    let key = match document.get(primary_key) {
        Some(key) => key,
        None => primary_key.split('.').try_fold(document, |inner, name| inner.get(name))?,
    };
    let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
    Some((key, document[TAG_FIELD].as_str()?.to_owned()))
}

impl Known {
    /// Copies of each shard, as operators have set them or as configured first.
    pub(super) fn replication_factor(&self) -> Option<u8> {
        let set = self.snapshot.meta.as_ref().and_then(|meta| meta.replication_factor);
        set.or(self.identity.as_ref().map(|identity| identity.replication_factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_at_every_level_and_numbers_are_text() {
        let tag = tag::encode(3, 16);
        let flat = json!({"id": 7, TAG_FIELD: tag});
        assert_eq!(tagged(&flat, "id"), Some(("7".to_owned(), tag.clone())));
        let deep = json!({"a": {"id": "x"}, TAG_FIELD: tag});
        assert_eq!(tagged(&deep, "a.id"), Some(("x".to_owned(), tag)));
        assert_eq!(tagged(&json!({"id": 7}), "id"), None);
    }
}
