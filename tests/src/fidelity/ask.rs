//! A question put to both, and what comes of it.

use anyhow::ensure;
use serde_json::{Value, json};

use super::classify::Class;
use super::generate::{Feature, Question};
use super::judge;
use super::words::Vocabulary;
use crate::Client;
use crate::scenario::difference;

/// What of an answer can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aspect {
    /// Status, or the error.
    Status,
    /// Which hits, in which order, hits that rank alike aside.
    Order,
    /// Everything that counts or echoes: totals, pages, limits.
    Totals,
    /// Facet values, their counts and their order.
    Facets,
    /// What is in hits that both have, scores aside.
    Content,
    /// Scores of hits that both have.
    Scores,
}

/// One difference.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub(super) aspect: Aspect,
    /// Where, and both values.
    pub(super) detail: String,
    /// Why, where that is known.
    pub(super) class: Option<Class>,
}

/// How two answers compare.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    /// Hits in exactly the same order; else only up to hits that rank alike, if no difference tells of the order.
    pub(super) identical: bool,
    pub(super) differences: Vec<Difference>,
}

impl Verdict {
    pub(super) fn has(&self, aspect: Aspect) -> bool {
        self.differences.iter().any(|difference| difference.aspect == aspect)
    }

    /// For the file of differences.
    pub(super) fn line(&self, question: &Question) -> Value {
        let told = self.differences.iter().map(|difference| {
            json!({"aspect": format!("{:?}", difference.aspect), "class": difference.class.map(|class| class.name()),
                   "detail": difference.detail})
        });
        json!({"feature": format!("{:?}", question.feature), "path": question.path, "body": question.body,
               "differences": told.collect::<Vec<_>>()})
    }
}

/// Asks the node and the cluster.
pub(super) async fn both(
    one: &Client,
    many: &Client,
    question: &Question,
    words: &Vocabulary,
) -> anyhow::Result<Verdict> {
    let (expected, found) =
        (one.post(&question.path, &question.body).await?, many.post(&question.path, &question.body).await?);
    let shards = found.header("x-miroir-shards").and_then(|shards| shards.split_once('/'));
    let complete = shards.is_none_or(|(answered, all)| answered == all);
    ensure!(complete, "only {shards:?} shards answered {} {}: {}", question.path, question.body, found.text);
    let (left, right) = (expected.json(), found.json());
    if expected.status != 200 || found.status != 200 {
        let same = expected.status == found.status && left == right;
        let detail = format!("{} {} and {} {}", expected.status, expected.text, found.status, found.text);
        let told = Difference { aspect: Aspect::Status, detail, class: None };
        return Ok(Verdict { identical: same, differences: if same { Vec::new() } else { vec![told] } });
    }
    let mut verdict = match question.feature {
        Feature::FacetSearch => judge::whole(Aspect::Facets, &left, &right),
        Feature::Documents => judge::whole(Aspect::Order, &left, &right),
        Feature::Similar | Feature::Federated | Feature::Vector | Feature::Hybrid => judge::by_score(&left, &right),
        Feature::Multi => several(one, question, &left, &right).await?,
        _ => judge::search(one, &question.path, &question.body, &left, &right).await?,
    };
    for difference in &mut verdict.differences {
        difference.class = Class::of(question, difference, &left, &right, words);
    }
    Ok(verdict)
}

async fn several(one: &Client, question: &Question, left: &Value, right: &Value) -> anyhow::Result<Verdict> {
    let path = format!("/indexes/{}/search", question.index);
    let mut all = Verdict { identical: true, differences: Vec::new() };
    let items = |answer: &Value| answer["results"].as_array().cloned().unwrap_or_default();
    let (left, right) = (items(left), items(right));
    ensure!(left.len() == right.len(), "{} results of {}", right.len(), left.len());
    let queries = question.body["queries"].as_array().into_iter().flatten();
    for ((query, left), right) in queries.zip(&left).zip(&right) {
        let mut query = query.clone();
        if let Some(fields) = query.as_object_mut() {
            fields.remove("indexUid");
        }
        let verdict = judge::search(one, &path, &query, left, right).await?;
        all.identical &= verdict.identical;
        all.differences.extend(verdict.differences);
    }
    Ok(all)
}

/// The first difference of two values as one of this aspect.
pub(super) fn unless_same(aspect: Aspect, left: &Value, right: &Value) -> Option<Difference> {
    difference(left, right).map(|detail| Difference { aspect, detail, class: None })
}
