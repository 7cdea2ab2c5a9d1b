//! Error messages of nodes, without the reserved field: the engine lists the attributes that can be filtered by.

use std::borrow::Cow;

use super::reserved::show;
use crate::tag::TAG_FIELD;

/// How the engine begins its list of attributes.
const LIST: &str = "Available ";

/// Removes the reserved field from the message of a node's error. What the client itself has written stays, or comes
/// back.
#[must_use]
pub fn scrub_message(message: &str) -> String {
    let message = scrubbed(message).map_or(Cow::Borrowed(message), Cow::Owned);
    show(&message).into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

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
