//! What a search asks nodes for beside their hits, where these leave something open.

use super::hits::{HitRules, Ranked};
use super::paging::Paging;
use super::query::Query;

/// What nodes are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    /// What the client asks for.
    #[default]
    Hits,
    /// The hits by words alone of a hybrid search: those of all nodes may be good enough.
    Words,
    /// Both sides of a hybrid search, of nodes that left out one.
    Both,
    /// The distinct values of all hits.
    Values,
    /// Nothing more.
    Nothing,
}

/// A query that nodes may have to be asked in other forms.
#[derive(Debug)]
pub(super) struct Again {
    query: Query,
    paging: Paging,
}

impl Again {
    /// A hybrid search.
    pub fn hybrid(query: &Query, paging: Paging) -> Self {
        Self { query: query.clone(), paging }
    }

    /// A search for distinct values of this attribute; none where the engine itself makes an estimate of their number.
    pub fn values(query: &Query, paging: Paging, attribute: &str) -> Option<Self> {
        if matches!(paging, Paging::Offset { .. }) || query.raw("hybrid").is_some() {
            return None;
        }
        let mut query = query.bare();
        query.set("attributesToRetrieve", &[attribute]);
        Some(Self { query, paging })
    }

    /// The query, as an open JSON object, for a node that has said that it has `total` hits.
    pub fn body(&self, asked: Asked, total: u64) -> Vec<u8> {
        let mut query = self.query.clone();
        match asked {
            Asked::Words => super::hybrid::by_words(&mut query),
            // With more hits asked for than there are by words, the engine always adds the semantic side.
            Asked::Both => self.paging.ask(super::paging::size(total.saturating_add(1)), &mut query),
            Asked::Values => self.paging.ask(super::paging::size(total), &mut query),
            Asked::Hits | Asked::Nothing => {}
        }
        query.open_json()
    }
}

/// How hits are read of which only the distinct values are wanted.
pub(super) fn only_values(rules: &HitRules) -> HitRules {
    HitRules { distinct: rules.distinct.clone(), ..HitRules::plain(Ranked::Unranked) }
}
