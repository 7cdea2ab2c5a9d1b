//! Both forms of paging: what nodes are asked for, which part of the merged hits is the page, what is echoed.

use super::query::{NotUnderstood, Query};

/// Hits of a page where the client does not say (the engine's default).
const DEFAULT_HITS: usize = 20;

/// The page that the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paging {
    /// `offset` and `limit`: the total is an estimate.
    Offset { offset: usize, limit: usize },
    /// `page` and `hitsPerPage`, where either is given: the total is exhaustive.
    Pages { page: usize, per_page: usize },
}

impl Paging {
    /// Takes the paging of a query out of it.
    pub fn take(query: &mut Query) -> Result<Self, NotUnderstood> {
        let offset = query.strict("offset")?.unwrap_or(0);
        let limit = query.strict("limit")?.unwrap_or(DEFAULT_HITS);
        let (page, per_page) = (query.whole("page")?, query.whole("hitsPerPage")?);
        ["offset", "limit", "page", "hitsPerPage"].iter().for_each(|name| query.remove(name));
        Ok(match (page, per_page) {
            (None, None) => Self::Offset { offset, limit },
            _ => Self::Pages { page: page.unwrap_or(1), per_page: per_page.unwrap_or(DEFAULT_HITS) },
        })
    }

    /// Hits before the page, and hits of the page.
    pub fn window(self) -> (usize, usize) {
        match self {
            Self::Offset { offset, limit } => (offset, limit),
            Self::Pages { page, per_page } => match page.checked_sub(1) {
                Some(before) => (before.saturating_mul(per_page), per_page),
                None => (0, 0),
            },
        }
    }

    /// Hits that are needed of each node, all from its first; `most` is `maxTotalHits`.
    pub fn needed(self, most: u64) -> usize {
        let (skip, take) = self.window();
        let needed = if take == 0 { 0 } else { skip.saturating_add(take) };
        needed.min(usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// Asks a node for `needed` hits from its first, in the form that gives the same kind of total.
    pub fn ask(self, needed: usize, query: &mut Query) {
        match self {
            Self::Offset { .. } => query.set("limit", &needed),
            Self::Pages { .. } => {
                query.set("page", &1);
                query.set("hitsPerPage", &needed);
            }
        }
    }

    /// Name of the total in answers.
    pub fn total_name(self) -> &'static [u8] {
        match self {
            Self::Offset { .. } => b"estimatedTotalHits",
            Self::Pages { .. } => b"totalHits",
        }
    }

    /// What an answer says about its page.
    pub fn echo(self, total: u64) -> String {
        match self {
            Self::Offset { offset, limit } => {
                format!("\"limit\":{limit},\"offset\":{offset},\"estimatedTotalHits\":{total}")
            }
            Self::Pages { page, per_page } => {
                let per = u64::try_from(per_page).unwrap_or(u64::MAX);
                let pages = total.saturating_add(per.saturating_sub(1)).checked_div(per).unwrap_or(0);
                format!("\"hitsPerPage\":{per_page},\"page\":{page},\"totalPages\":{pages},\"totalHits\":{total}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(body: &str) -> Result<Paging, NotUnderstood> {
        Paging::take(&mut Query::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn either_page_or_hits_per_page_makes_pages() {
        assert_eq!(paging("{}"), Ok(Paging::Offset { offset: 0, limit: 20 }));
        assert_eq!(paging(r#"{"page":3,"offset":7}"#), Ok(Paging::Pages { page: 3, per_page: 20 }));
        assert_eq!(paging(r#"{"hitsPerPage":5,"page":null}"#), Ok(Paging::Pages { page: 1, per_page: 5 }));
        assert!(paging(r#"{"limit":-1}"#).is_err());
        assert!(paging(r#"{"limit":null}"#).is_err());
        assert!(paging(r#"{"page":1.5}"#).is_err());
    }

    #[test]
    fn windows_and_needs_keep_to_the_limits() {
        assert_eq!(Paging::Offset { offset: 40, limit: 20 }.needed(1000), 60);
        assert_eq!(Paging::Offset { offset: 990, limit: 20 }.needed(1000), 1000);
        assert_eq!(Paging::Offset { offset: usize::MAX, limit: usize::MAX }.needed(10), 10);
        assert_eq!(Paging::Offset { offset: 40, limit: 0 }.needed(1000), 0);
        assert_eq!(Paging::Pages { page: 0, per_page: 7 }.window(), (0, 0));
        assert_eq!(Paging::Pages { page: 3, per_page: 7 }.window(), (14, 7));
        assert_eq!(Paging::Pages { page: 2, per_page: 0 }.needed(1000), 0);
    }

    #[test]
    fn pages_are_counted_from_the_total() {
        let echo = |page, per_page, total| Paging::Pages { page, per_page }.echo(total);
        assert_eq!(echo(1, 4, 30), r#""hitsPerPage":4,"page":1,"totalPages":8,"totalHits":30"#);
        assert_eq!(echo(1, 0, 30), r#""hitsPerPage":0,"page":1,"totalPages":0,"totalHits":30"#);
    }
}
