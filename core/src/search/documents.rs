//! `GET /indexes/{uid}/documents` and `POST /indexes/{uid}/documents/fetch`. With `sort` the lists are merged by the
//! raw sort values that nodes add for the engine's own network search. Without it the order is that of the parts, one
//! after the other: a deep page then asks first how many documents each part has, and next only the parts it lies in.

use std::collections::BTreeMap;

use super::hits::{HitList, HitRules, Ranked};
use super::merge::{BrokenList, Comparison, Merged, Place, Source};
use super::paging::size;
use super::query::{Filter, NotUnderstood, Query};
use super::scan::Scanner;
use super::{BadAnswer, Gather, IndexFacts, NodeRequest};

/// Up to this many documents a page is fetched from its beginning at once; beyond, in two steps.
const SHALLOW: u64 = 1000;

/// What is being asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Everything up to the end of the page.
    All,
    /// How many documents each part has.
    Totals,
    /// The part of the page that lies in each part: documents to skip, and to take.
    Windows(BTreeMap<usize, (u64, u64)>),
}

struct Answer {
    body: Vec<u8>,
    list: HitList,
    total: u64,
}

impl Source for Answer {
    fn list(&self) -> &HitList {
        &self.list
    }

    fn reach(&mut self, rank: usize) -> Result<bool, BadAnswer> {
        Ok(self.list.get(rank).is_some())
    }
}

/// A documents list over all shards.
pub(super) struct Documents {
    index: String,
    hash: u64,
    body: Vec<u8>,
    filter: Filter,
    rules: HitRules,
    offset: u64,
    limit: u64,
    step: Step,
    replay: NodeRequest,
    answers: BTreeMap<usize, Answer>,
    page: Vec<Place>,
    /// Bytes of the page, no less than it takes.
    size: usize,
}

impl Documents {
    /// Plans a list. `replay` is the client's own request.
    ///
    /// # Errors
    /// Where the query has a form that cannot be rewritten.
    pub fn plan(mut query: Query, index: &IndexFacts<'_>, replay: NodeRequest) -> Result<Self, NotUnderstood> {
        let hash = query.hash(index.uid);
        if query.get::<bool>("useNetwork")? == Some(true) {
            return Err(NotUnderstood);
        }
        let offset: u64 = query.strict("offset")?.unwrap_or(0);
        let limit: u64 = query.strict("limit")?.unwrap_or(20);
        let sorted = query.get::<Vec<String>>("sort")?.is_some_and(|rules| !rules.is_empty());
        let filter = Filter::of(&query)?;
        ["offset", "limit", "filter"].iter().for_each(|name| query.remove(name));
        let shallow = (offset == 0 && !sorted) || offset.saturating_add(limit) <= SHALLOW;
        Ok(Self {
            index: index.uid.to_owned(),
            hash,
            body: query.open_json(),
            filter,
            rules: if sorted {
                let primary_key = index.primary_key.map(Box::from);
                HitRules { primary_key, ..HitRules::plain(Ranked::SortValues) }
            } else {
                HitRules::plain(Ranked::Unranked)
            },
            offset,
            limit,
            step: if shallow { Step::All } else { Step::Totals },
            replay,
            answers: BTreeMap::new(),
            page: Vec::new(),
            size: 96,
        })
    }

    /// Merges the parts into the page.
    fn merge(&mut self) -> Result<(), BrokenList> {
        let mut skip = if self.step == Step::All || self.is_sorted() { self.offset } else { 0 };
        let mut merged = Merged::new(self.answers.values_mut(), Comparison::default())?;
        while self.page.len() < size(self.limit)
            && let Some((place, size)) = merged.next(HitList::size)?
        {
            if skip > 0 {
                skip = skip.saturating_sub(1);
                continue;
            }
            self.size = self.size.saturating_add(size).saturating_add(1);
            self.page.push(place);
        }
        Ok(())
    }

    /// Documents to skip and to take of one part.
    fn window(&self, part: usize) -> (u64, u64) {
        match &self.step {
            Step::All if self.limit == 0 => (0, 0),
            Step::All => (0, self.offset.saturating_add(self.limit)),
            Step::Totals => (0, 0),
            Step::Windows(windows) => windows.get(&part).copied().unwrap_or_default(),
        }
    }

    fn is_sorted(&self) -> bool {
        self.rules.ranked == Ranked::SortValues
    }

    /// Lays the page over the parts. A sorted one may lie anywhere in each: all up to its end is needed, and no more
    /// than there is, since a node makes room for all that it is asked for.
    fn windows(&self) -> BTreeMap<usize, (u64, u64)> {
        if self.is_sorted() {
            let end = if self.limit == 0 { 0 } else { self.offset.saturating_add(self.limit) };
            let windows = self.answers.iter().map(|(part, answer)| (*part, (0, end.min(answer.total))));
            return windows.filter(|(_, (_, taken))| *taken > 0).collect();
        }
        let (mut skip, mut take) = (self.offset, self.limit);
        let mut windows = BTreeMap::new();
        for (part, answer) in &self.answers {
            let skipped = skip.min(answer.total);
            let taken = take.min(answer.total.saturating_sub(skipped));
            if taken > 0 {
                windows.insert(*part, (skipped, taken));
            }
            skip = skip.saturating_sub(skipped);
            take = take.saturating_sub(taken);
        }
        windows
    }
}

impl Gather for Documents {
    fn index(&self) -> &str {
        &self.index
    }

    fn query_hash(&self) -> u64 {
        self.hash
    }

    fn request(&self, clause: &str, part: usize) -> NodeRequest {
        let (offset, limit) = self.window(part);
        let mut body = self.body.clone();
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(format!("\"offset\":{offset},\"limit\":{limit},\"filter\":").as_bytes());
        self.filter.write(clause, &mut body);
        body.push(b'}');
        let headers: &[_] = if self.is_sorted() { &[("meili-proxy-search", "true")] } else { &[] };
        let path = format!("/indexes/{}/documents/fetch", self.index);
        NodeRequest { method: "POST", path, headers, body: Some(body) }
    }

    fn accept(&mut self, part: usize, body: Vec<u8>) -> Result<(), BadAnswer> {
        let mut scanner = Scanner::new(&body);
        let (mut list, mut total) = (None, None);
        scanner.open_object()?;
        let mut first = true;
        while let Some(member) = scanner.member(&mut first)? {
            match scanner.slice(member.name) {
                b"results" => list = Some(HitList::read(&mut scanner, &self.rules)?),
                b"total" => total = Some(scanner.whole()?),
                _ => {
                    scanner.value()?;
                }
            }
        }
        scanner.end()?;
        let (Some(list), Some(total)) = (list, total) else {
            return Err(BadAnswer("answer without results or total".to_owned()));
        };
        self.answers.insert(part, Answer { body, list, total });
        Ok(())
    }

    fn again(&mut self) -> Vec<usize> {
        if self.step != Step::Totals {
            return Vec::new();
        }
        let windows = self.windows();
        let parts = windows.keys().copied().collect();
        self.step = Step::Windows(windows);
        parts
    }

    fn settle(&mut self) -> Result<(), usize> {
        self.merge().map_err(|broken| self.answers.keys().nth(broken.0).copied().unwrap_or_default())
    }

    fn replay(&self) -> Option<NodeRequest> {
        Some(self.replay.clone())
    }

    fn finish(self: Box<Self>, _took_ms: u64) -> Vec<u8> {
        let total = self.answers.values().map(|answer| answer.total).fold(0, u64::saturating_add);
        let mut out = Vec::with_capacity(self.size);
        out.extend_from_slice(b"{\"results\":[");
        let answers: Vec<&Answer> = self.answers.values().collect();
        for (number, place) in self.page.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            let Some(answer) = answers.get(place.list) else { continue };
            if let Some(hit) = answer.list.get(place.rank) {
                answer.list.write(hit, &answer.body, None, &mut out);
            }
        }
        let echo = format!("],\"offset\":{},\"limit\":{},\"total\":{total}}}", self.offset, self.limit);
        out.extend_from_slice(echo.as_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shardmap::SearchView;

    const SIZES: [usize; 3] = [1500, 0, 2000];

    fn planned(body: &str) -> Documents {
        let view = SearchView::default();
        let replay = NodeRequest { method: "POST", path: "/x".into(), headers: &[], body: None };
        let index = IndexFacts { uid: "films", primary_key: None, view: &view };
        Documents::plan(Query::parse(body.as_bytes()).unwrap(), &index, replay).unwrap()
    }

    fn listed(body: &str) -> (Vec<u64>, u64, usize) {
        let mut documents = planned(body);
        let (mut asked, mut fetched) = (vec![0, 1, 2], 0);
        while !asked.is_empty() {
            for part in asked {
                let request: serde_json::Value =
                    serde_json::from_slice(&documents.request(r#""clause""#, part).body.unwrap()).unwrap();
                let (offset, limit) =
                    (request["offset"].as_u64().unwrap() as usize, request["limit"].as_u64().unwrap() as usize);
                let results: Vec<_> = (0..SIZES[part])
                    .skip(offset)
                    .take(limit)
                    .map(|at| serde_json::json!({ "id": part * 10_000 + at, "_miroir_shard": "x" }))
                    .collect();
                fetched += results.len();
                let answer = serde_json::json!({ "results": results, "offset": 0, "limit": 1, "total": SIZES[part] });
                documents.accept(part, answer.to_string().into_bytes()).unwrap();
            }
            asked = documents.again();
        }
        documents.settle().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&Box::new(documents).finish(0)).unwrap();
        let ids = answer["results"].as_array().unwrap().iter().map(|document| document["id"].as_u64().unwrap());
        (ids.collect(), answer["total"].as_u64().unwrap(), fetched)
    }

    #[test]
    fn a_deep_page_fetches_no_more_than_itself() {
        let (ids, total, fetched) = listed(r#"{"offset":1490,"limit":20}"#);
        assert_eq!(ids, (1490..1500).chain(20_000..20_010).collect::<Vec<u64>>());
        assert_eq!((total, fetched), (3500, 20));
        assert_eq!(listed(r#"{"offset":9999}"#), (vec![], 3500, 0));
    }

    #[test]
    fn pages_cover_everything_once_in_one_order() {
        let pages: Vec<u64> =
            (0..9).flat_map(|page| listed(&format!(r#"{{"offset":{},"limit":400}}"#, page * 400)).0).collect();
        assert_eq!(pages, (0..1500).chain(20_000..22_000).collect::<Vec<u64>>());
    }

    #[test]
    fn a_deep_sorted_page_asks_for_no_more_than_there_is() {
        let mut documents = planned(r#"{"sort":["year:asc"],"offset":1,"limit":18446744073709551615}"#);
        let asked = |documents: &Documents, part| {
            let body = documents.request(r#""clause""#, part).body.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            (body["offset"].as_u64().unwrap(), body["limit"].as_u64().unwrap())
        };
        let row = |id: u32| {
            format!(r#"{{"id":{id},"_federation":{{"weightedScoreValues":[{{"sort":{{"asc":true,"value":{id}}}}}]}}}}"#)
        };
        let answer =
            |rows: &[String], total: u32| format!(r#"{{"results":[{}],"total":{total}}}"#, rows.join(",")).into_bytes();
        for (part, total) in [(0, 2), (1, 0), (2, 1)] {
            assert_eq!(asked(&documents, part), (0, 0));
            documents.accept(part, answer(&[], total)).unwrap();
        }
        assert_eq!(documents.again(), [0, 2]);
        assert_eq!((asked(&documents, 0), asked(&documents, 2)), ((0, 2), (0, 1)));
        documents.accept(0, answer(&[row(1), row(3)], 2)).unwrap();
        documents.accept(2, answer(&[row(2)], 1)).unwrap();
        documents.settle().unwrap();
        let page = r#"{"results":[{"id":2},{"id":3}],"offset":1,"limit":18446744073709551615,"total":3}"#;
        assert_eq!(String::from_utf8(Box::new(documents).finish(0)).unwrap(), page);
    }

    #[test]
    fn sorted_lists_are_merged_by_the_raw_values_which_are_removed() {
        let mut documents = planned(r#"{"sort":["year:desc"],"limit":3}"#);
        assert_eq!(documents.request(r#""clause""#, 0).headers, [("meili-proxy-search", "true")]);
        let row = |id: u32, year: &str| {
            format!(
                r#"{{"id":{id},"_federation":{{"weightedScoreValues":[{{"sort":{{"asc":false,"value":{year}}}}}]}}}}"#
            )
        };
        let answer = |rows: &[String]| format!(r#"{{"results":[{}],"total":2}}"#, rows.join(",")).into_bytes();
        documents.accept(0, answer(&[row(1, "1990"), row(2, "null")])).unwrap();
        documents.accept(1, answer(&[row(3, "2001"), row(4, "\"a\"")])).unwrap();
        documents.settle().unwrap();
        assert_eq!(
            Box::new(documents).finish(0),
            br#"{"results":[{"id":3},{"id":1},{"id":4}],"offset":0,"limit":3,"total":4}"#
        );
    }
}
