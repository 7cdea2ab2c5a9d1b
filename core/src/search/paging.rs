//! Both forms of paging: what nodes are asked for, which part of the merged hits is the page, what is echoed.

use super::query::{NotUnderstood, Query};

/// Hits of a page where the client does not say (the engine's default).
const DEFAULT_HITS: u64 = 20;

/// The page that the client wants, in the engine's own width: this may be built for a machine of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paging {
    /// `offset` and `limit`: the total is an estimate.
    Offset { offset: u64, limit: u64 },
    /// `page` and `hitsPerPage`, where either is given: the total is exhaustive.
    Pages { page: u64, per_page: u64 },
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

    /// Hits before the page, and hits up to its end; none where it is empty. Sums and products wrap around, as the
    /// engine's do: a page that would end beyond the highest number is empty there.
    pub fn window(self) -> (usize, usize) {
        let (skip, take) = match self {
            Self::Offset { offset, limit } => (offset, limit),
            Self::Pages { page: 0, .. } => (0, 0),
            Self::Pages { page, per_page } => (page.saturating_sub(1).wrapping_mul(per_page), per_page),
        };
        let end = if take == 0 { 0 } else { skip.checked_add(take).unwrap_or(0) };
        (size(skip), size(end))
    }

    /// Hits that are needed of each node, all from its first; `most` is `maxTotalHits`.
    pub fn needed(self, most: u64) -> usize {
        let (_, end) = self.window();
        end.min(size(most))
    }

    /// Hits up to which the engine goes by words in a hybrid search: to the page's end, even where the page is empty.
    pub fn reached(self, most: u64) -> usize {
        match self {
            Self::Offset { offset, limit: 0 } => size(offset.min(most)),
            _ => self.needed(most),
        }
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
                let pages = total.wrapping_add(per_page.saturating_sub(1)).checked_div(per_page).unwrap_or(0);
                format!("\"hitsPerPage\":{per_page},\"page\":{page},\"totalPages\":{pages},\"totalHits\":{total}")
            }
        }
    }
}

/// A number of hits as this machine can count them. No list is longer than it can count.
pub(super) fn size(hits: u64) -> usize {
    usize::try_from(hits).unwrap_or(usize::MAX)
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
        assert_eq!(Paging::Offset { offset: 0, limit: u64::MAX }.needed(10), 10);
        assert_eq!(Paging::Offset { offset: 40, limit: 0 }.needed(1000), 0);
        assert_eq!(Paging::Pages { page: 0, per_page: 7 }.window(), (0, 0));
        assert_eq!(Paging::Pages { page: 3, per_page: 7 }.window(), (14, 21));
        assert_eq!(Paging::Pages { page: 2, per_page: 0 }.needed(1000), 0);
    }

    #[test]
    fn hybrid_searches_reach_to_the_end_of_an_empty_page() {
        assert_eq!(Paging::Offset { offset: 40, limit: 0 }.reached(30), 30);
        assert_eq!(Paging::Offset { offset: 40, limit: 2 }.reached(1000), 42);
        assert_eq!(Paging::Pages { page: 4, per_page: 0 }.reached(1000), 0);
    }

    #[test]
    fn pages_beyond_the_highest_number_are_those_of_the_engine() {
        assert_eq!(Paging::Offset { offset: 1, limit: u64::MAX }.needed(10), 0);
        assert_eq!(Paging::Offset { offset: u64::MAX, limit: u64::MAX }.needed(10), 0);
        assert_eq!(Paging::Pages { page: 2, per_page: u64::MAX }.needed(10), 0);
        assert_eq!(Paging::Pages { page: (1 << 63) + 2, per_page: 2 }.window(), (2, 4));
    }

    #[test]
    fn pages_are_counted_from_the_total() {
        let echo = |page, per_page, total| Paging::Pages { page, per_page }.echo(total);
        assert_eq!(echo(1, 4, 30), r#""hitsPerPage":4,"page":1,"totalPages":8,"totalHits":30"#);
        assert_eq!(
            echo(1, u64::MAX, 3),
            format!(r#""hitsPerPage":{},"page":1,"totalPages":0,"totalHits":3"#, u64::MAX)
        );
        assert_eq!(echo(1, 0, 30), r#""hitsPerPage":0,"page":1,"totalPages":0,"totalHits":30"#);
    }
}
