//! Compares all copies of every shard, and makes one of each whole.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use miroir_sequencer::{Drift, Drifted, FindingRow, NodeAction, NodeAnswer, OUTSIDER};

use super::fence::ended;
use super::survey::{ANSWER, Survey};
use super::verdict::{Addition, Content, Copy, Dropped, Verdict, judge};
use crate::cluster::{IndexRow, Note};
use crate::config::Config;
use crate::findings;
use crate::node::Client;

/// Documents that are carried over in one request.
const AT_ONCE: usize = 500;
/// Ids of documents that a finding names.
const NAMED: usize = 20;
/// Metadata of the tasks by which documents are carried over.
const METADATA: &str = "miroir-recover";

/// What is compared.
pub(super) struct Comparison<'a> {
    pub(super) client: &'a Client,
    pub(super) config: &'a Config,
    pub(super) survey: &'a Survey,
    pub(super) rows: &'a [IndexRow],
    pub(super) note: Option<&'a Note>,
    pub(super) shards: u32,
    /// Number of the first finding.
    pub(super) finding: u64,
    /// Findings are written down, and documents carried over.
    pub(super) writes: bool,
}

/// The copies of a shard, by node ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holders {
    /// Equal and whole; the one that was kept first.
    pub(super) whole: Vec<String>,
    /// To be filled from it.
    pub(super) behind: Vec<String>,
    /// Documents of the copy that was kept.
    pub(super) documents: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// By shard.
    pub(super) holders: Vec<Holders>,
    pub(super) findings: Vec<FindingRow>,
    /// Documents that are kept although not all copies that count have them.
    doubtful: u64,
    /// By index: documents, and those without a tag by node.
    documents: BTreeMap<String, u64>,
    untagged: BTreeMap<(String, String), u64>,
}

impl Comparison<'_> {
    pub(super) async fn run(&self) -> anyhow::Result<Compared> {
        let mut compared = Compared::default();
        for found in &self.survey.found {
            for index in &found.indexes {
                compared.untagged.insert((found.node.id.clone(), index.found.uid.clone()), index.documents);
            }
        }
        for row in self.rows {
            compared.documents.insert(row.uid.clone(), 0);
        }
        for shard in 0..self.shards {
            self.shard(shard, &mut compared).await?;
        }
        compared.untagged.retain(|_, documents| *documents > 0);
        Ok(compared)
    }

    fn id(&self, node: usize) -> String {
        self.survey.found.get(node).map(|found| found.node.id.clone()).unwrap_or_default()
    }

    async fn shard(&self, shard: u32, compared: &mut Compared) -> anyhow::Result<()> {
        let mut copies = Vec::new();
        let contents = (0..self.survey.found.len()).map(|node| self.content(node, shard));
        for (node, content) in futures::future::try_join_all(contents).await?.into_iter().enumerate() {
            let id = self.id(node);
            for (index, documents) in &content {
                if let Some(left) = compared.untagged.get_mut(&(id.clone(), index.clone())) {
                    *left = left.saturating_sub(u64::try_from(documents.len()).unwrap_or(u64::MAX));
                }
            }
            let was_read = self.note.map(|note| note.was_read(0, shard, &id));
            if !content.is_empty() || was_read == Some(true) {
                copies.push(Copy { node, content, was_read });
            }
        }
        let sizes: BTreeMap<usize, Vec<(String, u64)>> = copies.iter().map(|copy| (copy.node, sizes(copy))).collect();
        let verdict = judge(copies);
        self.write_down(shard, &verdict, compared).await?;
        compared.doubtful = compared.doubtful.saturating_add(verdict.doubtful);
        for addition in &verdict.additions {
            if let Some(to) = verdict.whole.first().filter(|_| self.writes) {
                self.carry_over(*to, addition).await?;
            }
        }
        let kept = verdict.whole.first().and_then(|node| sizes.get(node)).cloned().unwrap_or_default();
        let added = verdict.additions.iter().map(|addition| (addition.index.clone(), addition.keys.len()));
        let added = added.map(|(index, count)| (index, u64::try_from(count).unwrap_or(u64::MAX)));
        let mut documents = 0;
        for (index, count) in kept.into_iter().chain(added) {
            *compared.documents.entry(index).or_default() += count;
            documents += count;
        }
        let named = |nodes: &[usize]| nodes.iter().map(|node| self.id(*node)).collect();
        compared.holders.push(Holders { whole: named(&verdict.whole), behind: named(&verdict.behind), documents });
        Ok(())
    }

    /// Digests of all documents of a shard on a node.
    async fn content(&self, node: usize, shard: u32) -> anyhow::Result<Content> {
        let mut content = Content::new();
        let Some(found) = self.survey.found.get(node) else { return Ok(content) };
        for index in found.indexes.iter().filter(|index| index.documents > 0) {
            let uid = index.found.uid.as_str();
            let Some(primary_key) = index.found.primary_key.clone() else { continue };
            let action = NodeAction::Digests { index: uid.to_owned(), primary_key, shard, keys: None };
            match self.client.act(&found.node.id, action, ANSWER).await {
                Ok(NodeAnswer::Digests(digests)) => {
                    // Documents under another tag than their key's are of no shard: the leader has them reported.
                    let own = digests.into_iter().filter(|(_, digest)| *digest != OUTSIDER);
                    let own: BTreeMap<String, u128> = own.collect();
                    if !own.is_empty() {
                        content.insert(uid.to_owned(), own);
                    }
                }
                answer => bail!("{} does not show shard {shard} of index {uid}: {answer:?}", found.node.id),
            }
        }
        Ok(content)
    }

    /// Notes what is dropped, and with it what the losers have, before anything is changed.
    async fn write_down(&self, shard: u32, verdict: &Verdict, compared: &mut Compared) -> anyhow::Result<()> {
        let Some(kept) = verdict.whole.first().map(|node| self.id(*node)) else { return Ok(()) };
        let mut drifts = Vec::new();
        for dropped in &verdict.dropped {
            let id = self.finding.saturating_add(u64::try_from(compared.findings.len()).unwrap_or(u64::MAX));
            let Dropped { index, differing, extra, .. } = dropped.clone();
            let lost = self.id(dropped.lost);
            let count = |keys: &Vec<String>| u64::try_from(keys.len()).unwrap_or(u64::MAX);
            let named = differing.iter().chain(&extra).take(NAMED).cloned().collect();
            compared.findings.push(FindingRow {
                id,
                found_ms: 0,
                index: index.clone(),
                placement: 0,
                shard: Some(shard),
                kept: Some(kept.clone()),
                lost: lost.clone(),
                differing: count(&differing),
                missing: 0,
                extra: count(&extra),
                documents: named,
                repaired_ms: None,
                acknowledged: false,
            });
            let row = self.rows.iter().find(|row| row.uid == index);
            let primary_key = row.and_then(|row| row.primary_key.clone()).unwrap_or_default();
            let what = Drifted::Documents { shard, primary_key, differing, missing: Vec::new(), extra };
            drifts.push(Drift { id, index, placement: 0, kept: Some(kept.clone()), lost, what });
        }
        if self.writes && !drifts.is_empty() {
            let written = findings::write_down(self.client, &self.config.findings, &drifts).await;
            written.map_err(|why| anyhow::anyhow!("what is to be dropped cannot be written down: {why}"))?;
        }
        Ok(())
    }

    async fn carry_over(&self, to: usize, addition: &Addition) -> anyhow::Result<()> {
        let (from, to) = (self.id(addition.from), self.id(to));
        let row = self.rows.iter().find(|row| row.uid == addition.index);
        let primary_key = row.and_then(|row| row.primary_key.clone()).unwrap_or_default();
        for keys in addition.keys.chunks(AT_ONCE) {
            let (index, primary_key) = (addition.index.clone(), primary_key.clone());
            let fetch =
                NodeAction::FetchPage { index: index.clone(), primary_key: primary_key.clone(), keys: keys.to_vec() };
            let answer = self.client.act(&from, fetch, ANSWER).await;
            let Ok(NodeAnswer::Page { page, keys: fetched, .. }) = answer else {
                bail!("{from} does not show documents of {index}: {answer:?}")
            };
            ensure!(fetched.len() == keys.len(), "{from} does not show all documents of {index} that it has");
            let put = NodeAction::PutPage {
                key: self.client.master_key(),
                index,
                primary_key,
                page,
                without: Vec::new(),
                metadata: METADATA.to_owned(),
            };
            let answer = self.client.act(&to, put, ANSWER).await;
            self.client.drop_page(page);
            let Ok(NodeAnswer::Enqueued { uid, .. }) = answer else {
                bail!("{to} does not take documents of {}: {answer:?}", addition.index)
            };
            let error = ended(self.client, &to, uid).await?;
            ensure!(error.is_none(), "{to} failed to take documents of {}: {error:?}", addition.index);
        }
        Ok(())
    }
}

fn sizes(copy: &Copy) -> Vec<(String, u64)> {
    let size = |(index, documents): (&String, &BTreeMap<String, u128>)| {
        (index.clone(), u64::try_from(documents.len()).unwrap_or(u64::MAX))
    };
    copy.content.iter().map(size).collect()
}

impl Compared {
    /// What is to be said.
    pub(super) fn told(&self) -> impl Iterator<Item = String> {
        let documents = self.documents.iter().map(|(index, documents)| format!("index {index}: {documents} documents"));
        let untagged = self.untagged.iter().map(|((node, index), documents)| {
            format!("{node} has {documents} documents of {index} without a shard's tag: they are not served")
        });
        let doubtful = (self.doubtful > 0).then(|| {
            format!("{} documents that not all copies have are kept, though some may have been deleted", self.doubtful)
        });
        let found = (!self.findings.is_empty())
            .then(|| format!("{} findings: versions that are dropped are in the findings file", self.findings.len()));
        documents.chain(untagged).chain(doubtful).chain(found).collect::<Vec<_>>().into_iter()
    }
}
