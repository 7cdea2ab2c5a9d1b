//! Error messages of nodes, without the reserved field: the engine lists the attributes that can be filtered by, and
//! numbers the rules that make them so.

use std::borrow::Cow;

use super::reserved::show;
use crate::tag::{TAG_FIELD, is_digit};

/// How the engine begins its list of attributes.
const LIST: &str = "Available ";

/// Removes the reserved field from the message of a node's error. What the client itself has written stays, or comes
/// back.
#[must_use]
pub fn scrub_message(message: &str) -> String {
    let message = scrubbed(message).map_or(Cow::Borrowed(message), Cow::Owned);
    let message = without_tag(&message).map_or(message, Cow::Owned);
    show(&message).into_owned()
}

/// Takes the tag out of a document that a message quotes: the engine (1.50) shows one from which an edit by function has
/// taken its id.
fn without_tag(message: &str) -> Option<String> {
    let name = format!("\"{TAG_FIELD}\":\"");
    let (before, rest) = message.split_once(&name)?;
    let (tag, after) = rest.split_once('"')?;
    if tag.is_empty() || !tag.chars().all(is_digit) {
        return None;
    }
    let (before, after) = match after.strip_prefix(',') {
        Some(after) => (before, after),
        None => (before.strip_suffix(',').unwrap_or(before), after),
    };
    Some(format!("{before}{after}"))
}

fn scrubbed(message: &str) -> Option<String> {
    let start = message.find(LIST)?;
    let (before, rest) = message.split_at_checked(start)?;
    let end = rest.find("`.")?;
    let (sentence, after) = rest.split_at_checked(end)?;
    let (head, list) = sentence.split_once('`')?;
    // Either each name has its own quotes, or the list as a whole has them.
    let separator = if list.contains("`, `") { "`, `" } else { ", " };
    if !list.split(separator).any(|name| name == TAG_FIELD) {
        return None;
    }
    let names: Vec<&str> = list.split(separator).filter(|name| *name != TAG_FIELD).collect();
    if names.is_empty() {
        let kind = head.split(' ').nth(1).unwrap_or("filterable");
        let after = after.strip_prefix("`.")?;
        return Some(format!("{before}This index does not have configured {kind} attributes.{after}"));
    }
    Some(format!("{before}{head}`{}{after}", names.join(separator)))
}

/// Numbers the rules of `filterableAttributes` as the client has them, in an error of a node that has the tag's own rule
/// before them ([`crate::shardmap::SearchView::tag_rule_first`]).
#[must_use]
pub fn renumber_rules(message: &str) -> String {
    renumbered(message).unwrap_or_else(|| message.to_owned())
}

/// Every number in such a message is that of the one rule that it is about. What stands around the engine's words is the
/// client's.
fn renumbered(message: &str) -> Option<String> {
    let (start, number) = ["matched rule #", "matches rule #"].iter().find_map(|words| {
        message.match_indices(words).find_map(|(start, _)| {
            let rest = message.get(start.checked_add(words.len())?..)?;
            let (number, rest) = rest.split_once(" in ")?;
            let listed = rest.trim_start_matches('`').starts_with("filterableAttributes");
            Some((start, number.parse::<usize>().ok().filter(|_| listed)?))
        })
    })?;
    let clients = number.checked_sub(1)?;
    let (before, rest) = message.split_at_checked(start)?;
    let last = format!("before rule #{number}");
    let end = rest.rfind(&last)?.checked_add(last.len())?;
    let (mut words, after) = (rest.get(..end)?.to_owned(), rest.get(end..)?);
    for (phrase, behind) in [("matched", " in"), ("matches", " in"), ("in", " by"), ("before", "")] {
        let of = |number: usize| format!("{phrase} rule #{number}{behind}");
        words = words.replace(&of(number), &of(clients));
    }
    Some(format!("{before}{words}{after}"))
}

/// What a message of the engine says it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// This index.
    Index(&'a str),
    /// The query of a multi-search at this position.
    Query(usize),
    /// It does not say.
    Unsaid,
}

/// What a message is about.
pub(crate) fn subject(message: &str) -> Subject<'_> {
    let mut rest = message;
    let mut found = Subject::Unsaid;
    while let Some((place, after)) = rest.strip_prefix("Inside `.").and_then(|rest| rest.split_once("`: ")) {
        if let Some(index) = place.strip_prefix("federation.facetsByIndex.") {
            return Subject::Index(index);
        }
        let position = place.strip_prefix("queries[").and_then(|place| place.split_once(']'));
        if let Some(position) = position.and_then(|(position, _)| position.parse().ok()) {
            found = Subject::Query(position);
        }
        rest = after;
    }
    let index = rest.strip_prefix("Index `").and_then(|rest| rest.split_once("`: "));
    index.map_or(found, |(index, _)| Subject::Index(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_numbered_without_the_tags_own() {
        let facets = |number: u32| {
            format!(
                "Invalid facet distribution: Attribute `rule #2` matched rule #{number} in filterableAttributes, but this rule does not enable filtering.\nHint: enable filtering in rule #{number} by modifying the features.filter object\nHint: prepend another rule matching `rule #2` with appropriate filter features before rule #{number}"
            )
        };
        assert_eq!(renumber_rules(&facets(2)), facets(1));
        assert_eq!(renumber_rules(&facets(12)), facets(11));
        let operator = |number: u32| {
            format!(
                "Index `films`: Filter operator `>` is not allowed for the attribute `a`.\n  - Note: allowed operators: OR, AND.\n  - Note: field `a` matched rule #{number} in `filterableAttributes`\n  - Hint: enable comparison in rule #{number} by modifying the features.filter object\n  - Hint: prepend another rule matching `a` with appropriate filter features before rule #{number}"
            )
        };
        assert_eq!(renumber_rules(&operator(1)), operator(0));
        let searched = |number: u32| {
            format!(
                "Attribute `a` is not facet-searchable. Note: this attribute matches rule #{number} in filterableAttributes, but this rule does not enable facetSearch.\nHint: enable facetSearch in rule #{number} by adding `\"facetSearch\": true` to the rule.\nHint: prepend another rule matching a with facetSearch: true before rule #{number}"
            )
        };
        assert_eq!(renumber_rules(&searched(10)), searched(9));
        for message in ["", "matched rule #1", "Attribute `matched rule #1 in x` before rule #1", &facets(0)] {
            assert_eq!(renumber_rules(message), message);
        }
    }

    #[test]
    fn a_quoted_document_is_shown_without_its_tag() {
        let quoted = |document: &str| format!("Document doesn't have a `id` attribute: `{document}`.");
        let tag = "\"_miroir_shard\":\"\u{2E03}\u{2E0F}\"";
        for (held, shown) in [
            (format!("{{{tag}}}"), r"{}"),
            (format!(r#"{{"a":1,{tag}}}"#), r#"{"a":1}"#),
            (format!(r#"{{{tag},"a":1}}"#), r#"{"a":1}"#),
            (format!(r#"{{"a":1,{tag},"b":2}}"#), r#"{"a":1,"b":2}"#),
            (r#"{"a":"\"_miroir_shard\":\"x\""}"#.to_owned(), r#"{"a":"\"_miroir_shard\":\"x\""}"#),
        ] {
            assert_eq!(scrub_message(&quoted(&held)), quoted(shown));
        }
    }

    #[test]
    fn messages_say_which_index_or_query_they_are_about() {
        for (message, about) in [
            ("Index `films`: Filter", Subject::Index("films")),
            ("Inside `.queries[1]`: Index `films`: Filter", Subject::Index("films")),
            ("Inside `.queries[12]`: Invalid facet", Subject::Query(12)),
            ("Inside `.queries[0]`: Inside `.federation.facetsByIndex.films`: Invalid", Subject::Index("films")),
            ("Attribute `a: Index `films`: x", Subject::Unsaid),
            ("Inside `.queries[x]`: b", Subject::Unsaid),
        ] {
            assert_eq!(subject(message), about, "{message}");
        }
    }

    #[test]
    fn both_kinds_of_list_lose_the_field() {
        assert_eq!(
            scrub_message(
                "Attribute `foo` is not filterable. Available filterable attribute patterns are: `_geo`, `_miroir_shard`, `id`.\n1:4 foo=1"
            ),
            "Attribute `foo` is not filterable. Available filterable attribute patterns are: `_geo`, `id`.\n1:4 foo=1"
        );
        assert_eq!(
            scrub_message(
                "Pattern `foo` is not filterable. Available filterable attributes patterns are: `genre, _miroir_shard`."
            ),
            "Pattern `foo` is not filterable. Available filterable attributes patterns are: `genre`."
        );
    }

    #[test]
    fn an_index_with_nothing_but_the_field_has_no_attributes() {
        assert_eq!(
            scrub_message(
                "Attribute `foo` is not facet-searchable. Available facet-searchable attributes patterns are: `_miroir_shard`. To make it facet-searchable add it."
            ),
            "Attribute `foo` is not facet-searchable. This index does not have configured facet-searchable attributes. To make it facet-searchable add it."
        );
    }

    #[test]
    fn other_messages_stay() {
        for message in
            ["", "Available ", "Available `", "Attribute `_miroir_shard` is not sortable.", "Available x are: `a, b`."]
        {
            assert_eq!(scrub_message(message), message);
        }
    }
}
