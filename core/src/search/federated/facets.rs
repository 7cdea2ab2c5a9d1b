//! Facets of a federated search: of each index, or of all indexes put together.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::search::facets::{Facets, Listed, ReadFacets, order_of};
use crate::shardmap::{FacetOrder, SearchView};

/// Writes `,"facetsByIndex":{…}`, or with `merge` (and its most values) `,"facetDistribution":{…},"facetStats":{…}`;
/// nothing where nodes have given no facets. `documents` is the number of documents that were counted.
pub(super) fn write(
    read: Vec<(String, ReadFacets)>,
    views: &BTreeMap<&str, &SearchView>,
    merge: Option<Option<usize>>,
    documents: u64,
    out: &mut Vec<u8>,
) {
    let mut indexes: BTreeMap<String, Facets> = BTreeMap::new();
    for (uid, facets) in read {
        indexes.entry(uid).or_default().add(facets);
    }
    let indexes: Vec<(String, Listed)> = indexes
        .into_iter()
        .filter_map(|(uid, facets)| {
            let listed = facets.listed(views.get(uid.as_str())?, documents)?;
            Some((uid, listed))
        })
        .collect();
    if indexes.is_empty() {
        return;
    }
    match merge {
        Some(most) => {
            out.push(b',');
            merged(indexes, views, most).write(["facetDistribution", "facetStats"], out);
        }
        None => {
            out.extend_from_slice(b",\"facetsByIndex\":{");
            for (position, (uid, listed)) in indexes.into_iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(format!("{}:{{", serde_json::Value::from(uid)).as_bytes());
                listed.write(["distribution", "stats"], out);
                out.push(b'}');
            }
            out.push(b'}');
        }
    }
}

/// Values are told apart by their spelling here, as the engine does it.
fn merged(indexes: Vec<(String, Listed)>, views: &BTreeMap<&str, &SearchView>, most: Option<usize>) -> Listed {
    let mut counts: BTreeMap<String, (FacetOrder, BTreeMap<String, u64>)> = BTreeMap::new();
    let mut all = Listed::default();
    for (uid, listed) in indexes {
        for (facet, values) in listed.distribution {
            let order = views.get(uid.as_str()).map_or(FacetOrder::Alpha, |view| order_of(view, &facet));
            let (_, sums) = counts.entry(facet).or_insert_with(|| (order, BTreeMap::new()));
            for (value, count) in values {
                let sum = sums.entry(value).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        for (facet, range) in listed.stats {
            all.add_range(facet, range);
        }
    }
    all.distribution = counts
        .into_iter()
        .map(|(facet, (order, sums))| {
            let mut values: Vec<(String, u64)> = sums.into_iter().collect();
            if order == FacetOrder::Count {
                values.sort_by_key(|(_, count)| Reverse(*count));
            }
            values.truncate(most.unwrap_or(usize::MAX));
            (facet, values)
        })
        .collect();
    all
}
