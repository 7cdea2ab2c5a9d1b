//! The reserved field in clients' requests. To a client it is a field that no document has, and nodes are to judge it
//! so: they are sent [`STAND_IN`] for it, which really is such a field, and the client reads their refusal with the
//! name that it wrote.

use std::borrow::Cow;

use serde_json::Value;

use super::query::Query;
use crate::tag::TAG_FIELD;

/// A name of the same length (so that the columns in the engine's messages stay right) that no document has and no
/// settings name, since it too has the reserved prefix.
const STAND_IN: &str = "_miroir_SHARD";

/// Members of searches and document lists whose texts are names of attributes.
const NAMES: [&str; 10] = [
    "attributesToCrop",
    "attributesToHighlight",
    "attributesToRetrieve",
    "attributesToSearchOn",
    "distinct",
    "facetName",
    "facets",
    "facetsByIndex",
    "fields",
    "sort",
];

/// Replaces the reserved name wherever a query means it as an attribute. True where the query has changed.
pub(super) fn hide(query: &mut Query) -> bool {
    let mut changed = false;
    for name in NAMES {
        changed |= hide_in(query, name, attribute);
    }
    changed | hide_in(query, "filter", expression)
}

fn hide_in(query: &mut Query, name: &str, hide: fn(&str) -> Option<String>) -> bool {
    let Some(json) = query.raw(name).and_then(|raw| hide_json(raw, hide)) else { return false };
    query.set(name, &json);
    true
}

/// The filter of a deletion, as JSON text, with the reserved name replaced.
pub(crate) fn hide_in_filter(json: &str) -> Cow<'_, str> {
    hide_json(json, expression).map_or(Cow::Borrowed(json), |json| Cow::Owned(json.to_string()))
}

/// A message of a node with the name that the client wrote.
pub(super) fn show(message: &str) -> Cow<'_, str> {
    if message.contains(STAND_IN) { Cow::Owned(message.replace(STAND_IN, TAG_FIELD)) } else { Cow::Borrowed(message) }
}

/// Applies `hide` to a text or the texts of an array or object, however deep; none where nothing changes.
fn hide_json(raw: &str, hide: fn(&str) -> Option<String>) -> Option<Value> {
    // Only what is escaped can hold the name in another form.
    if !raw.contains(TAG_FIELD) && !raw.contains('\\') {
        return None;
    }
    let mut value = serde_json::from_str(raw).ok()?;
    hide_value(&mut value, hide).then_some(value)
}

fn hide_value(value: &mut Value, hide: fn(&str) -> Option<String>) -> bool {
    match value {
        Value::String(text) => hide(text).map(|hidden| *text = hidden).is_some(),
        Value::Object(members) => {
            members.values_mut().fold(false, |changed, member| hide_value(member, hide) | changed)
        }
        Value::Array(items) => items.iter_mut().fold(false, |changed, item| hide_value(item, hide) | changed),
        _ => false,
    }
}

/// A name that may have `:asc`, `:desc` or a crop length behind it.
fn attribute(text: &str) -> Option<String> {
    let rest = rest_of(text)?;
    Some(format!("{STAND_IN}{rest}"))
}

/// What follows the reserved name: nothing, or the path of a member, or an order.
fn rest_of(text: &str) -> Option<&str> {
    text.strip_prefix(TAG_FIELD).filter(|rest| rest.is_empty() || rest.starts_with(['.', ':']))
}

/// A filter expression with the reserved name replaced wherever it is the attribute of a condition.
fn expression(text: &str) -> Option<String> {
    if !text.contains(TAG_FIELD) && !text.contains('\\') {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let (mut changed, mut place, mut rest) = (false, Place::Attribute, text);
    while let Some((token, after)) = token(rest) {
        let written = rest.get(..rest.len().saturating_sub(after.len())).unwrap_or_default();
        let hidden = if place == Place::Attribute { token.hidden() } else { None };
        changed |= hidden.is_some();
        out.push_str(hidden.as_deref().unwrap_or(written));
        place = place.after(&token);
        rest = after;
    }
    changed.then_some(out)
}

/// What a word or a quoted text stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The attribute of a condition: at the beginning, and behind what joins conditions.
    Attribute,
    /// A value to compare with.
    Value,
    /// One of the values of a list.
    List,
}

/// A piece of a filter expression.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    /// Letters, digits, `_`, `-` and `.`.
    Word(&'a str),
    /// A quoted text without its quotes, and the quote.
    Quoted(&'a str, char),
    /// Anything else, blanks too.
    Sign(char),
}

impl Token<'_> {
    /// The token with the reserved name replaced; none where it does not have it.
    fn hidden(&self) -> Option<String> {
        match self {
            Token::Word(word) => attribute(word),
            Token::Quoted(inner, quote) => {
                let name = inner.replace(&format!("\\{quote}"), &quote.to_string());
                let name = if name.contains('\\') { unescaper::unescape(&name).ok()? } else { name };
                let hidden = attribute(&name)?;
                let escaped = hidden.replace('\\', "\\\\").replace(*quote, &format!("\\{quote}"));
                Some(format!("{quote}{escaped}{quote}"))
            }
            Token::Sign(_) => None,
        }
    }
}

impl Place {
    /// The place behind a token.
    fn after(self, token: &Token<'_>) -> Self {
        match (self, token) {
            (Self::List, Token::Sign(']')) => Self::Value,
            (Self::List, _) => Self::List,
            (_, Token::Sign('[')) => Self::List,
            // Behind a comma begins the condition of a joined index.
            (_, Token::Sign('(' | ',')) | (_, Token::Word("AND" | "OR" | "NOT")) => Self::Attribute,
            (_, Token::Sign(sign)) if sign.is_whitespace() => self,
            _ => Self::Value,
        }
    }
}

/// The first token and what follows it. A quote that nothing closes is a sign: the engine refuses the expression.
fn token(text: &str) -> Option<(Token<'_>, &str)> {
    let first = text.chars().next()?;
    let is_word = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.');
    if is_word(first) {
        let (word, rest) = text.split_at_checked(text.find(|character| !is_word(character)).unwrap_or(text.len()))?;
        return Some((Token::Word(word), rest));
    }
    let rest = text.get(first.len_utf8()..)?;
    if first != '"' && first != '\'' {
        return Some((Token::Sign(first), rest));
    }
    let mut escaped = false;
    let end = rest.find(|character| {
        let ends = character == first && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    });
    let Some((inner, closed)) = end.and_then(|end| rest.split_at_checked(end)) else {
        return Some((Token::Sign(first), rest));
    };
    Some((Token::Quoted(inner, first), closed.get(1..).unwrap_or_default()))
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hidden(filter: &str) -> String {
        expression(filter).unwrap_or_else(|| filter.to_owned())
    }

    #[test]
    fn the_name_is_replaced_as_an_attribute_in_every_form_of_condition() {
        for condition in [
            "@ = 1",
            "@!=a",
            "@>= 1",
            "  @ < 3",
            "@ 1 TO 3",
            "@ EXISTS",
            "@ NOT EXISTS",
            "@ IS NULL",
            "@ IS NOT EMPTY",
            "@ IN [a, \"b\"]",
            "@ NOT IN[a]",
            "@ CONTAINS x",
            "@ NOT CONTAINS x",
            "@ STARTS WITH x",
            "NOT @ = 1",
            "NOT NOT (@ = 1)",
            "a = 1 OR @ = \"x\"",
            "a IN [b,c] AND @=1",
            "(a = \"b\" AND (@ = 1))",
            "a 1 TO 2 OR @ = 1",
            "_geoRadius(1, 2, 3) AND @ = 1",
            "_geoBoundingBox([1,2],[3,4]) OR @ = 1",
            "_foreign(@, @ = 1)",
            "@.x = 1",
            "\"@\" = 1",
            "'@'=1",
            "'@.x\\'y' = 1",
            "a = 'it\\'s' OR @ = 1",
        ] {
            assert_eq!(hidden(&condition.replace('@', TAG_FIELD)), condition.replace('@', STAND_IN));
        }
        assert_eq!(hidden(r#""\x5fmiroir_shard" = 1"#), r#""_miroir_SHARD" = 1"#);
        assert_eq!(hidden(r#""\u{5f}miroir_shard" = "\n""#), r#""_miroir_SHARD" = "\n""#);
    }

    #[test]
    fn values_and_other_names_stay() {
        for filter in [
            "title = _miroir_shard",
            "title = \"_miroir_shard\"",
            "title != '_miroir_shard' AND x > _miroir_shard",
            "title IN [_miroir_shard, \"_miroir_shard\"]",
            "title NOT IN [a,_miroir_shard]",
            "title CONTAINS \"_miroir_shard\"",
            "title STARTS WITH _miroir_shard",
            "year _miroir_shard TO _miroir_shard",
            "a = 'x OR _miroir_shard = 1'",
            "a = \"\\\" OR _miroir_shard = 1\"",
            "a._miroir_shard = 1",
            "_miroir_sharded = 1",
            "x_miroir_shard EXISTS",
            "_vectors.\"_miroir_shard\" EXISTS",
            "a = \"\\\\",
            "",
        ] {
            assert_eq!(expression(filter), None, "{filter}");
        }
    }

    #[test]
    fn queries_are_changed_only_where_they_name_it() {
        let hide = |body: &str| {
            let mut query = Query::parse(body.as_bytes()).unwrap();
            let changed = hide(&mut query);
            (changed, String::from_utf8(query.json()).unwrap())
        };
        let body = r#"{"q":"_miroir_shard","filter":["a = \"_miroir_shard\"",["b = 1"]],"facets":["a\u0041"]}"#;
        assert_eq!(hide(body), (false, body.to_owned()));
        let (changed, body) = hide(
            r#"{"filter":["a = 1",["\u005fmiroir_shard = 1"]],"facets":["x","_miroir_shard.y"],"sort":["_miroir_shard:asc"],"distinct":"_miroir_shard"}"#,
        );
        assert!(changed && !body.contains(TAG_FIELD) && body.matches(STAND_IN).count() == 4, "{body}");
        assert_eq!(
            show("Attribute `_miroir_SHARD` is not filterable."),
            "Attribute `_miroir_shard` is not filterable."
        );
    }

    /// A condition by its attribute, and one that has the name as value only.
    fn condition() -> impl Strategy<Value = (String, bool)> {
        let attribute =
            prop_oneof![Just("genre"), Just("_miroir_shard"), Just("_miroir_shard.x"), Just("a._miroir_shard")];
        let quote = prop_oneof![Just(""), Just("'"), Just("\"")];
        let operation = prop_oneof![
            Just(" = _miroir_shard"),
            Just("!='_miroir_shard = 1'"),
            Just(" EXISTS"),
            Just(" NOT EXISTS"),
            Just(" IN [\"_miroir_shard\", a]"),
            Just(" 1 TO _miroir_shard"),
            Just(" STARTS WITH \"_miroir_shard OR _miroir_shard\""),
            Just(" IS NULL"),
        ];
        (attribute, quote, operation).prop_map(|(attribute, quote, operation)| {
            (format!("{quote}{attribute}{quote}{operation}"), attribute.starts_with(TAG_FIELD))
        })
    }

    proptest! {
        #[test]
        fn exactly_the_attributes_are_replaced(
            conditions in prop::collection::vec((condition(), prop_oneof![Just(" AND "), Just(" OR "), Just(" AND NOT ")], any::<bool>()), 1..6)
        ) {
            let (mut filter, mut named) = (String::new(), 0);
            for (position, ((condition, names), joint, nested)) in conditions.iter().enumerate() {
                if position > 0 {
                    filter.push_str(joint);
                }
                filter.push_str(&if *nested { format!("({condition})") } else { condition.clone() });
                named += usize::from(*names);
            }
            let out = hidden(&filter);
            prop_assert_eq!(out.matches(STAND_IN).count(), named);
            prop_assert_eq!(out.replace(STAND_IN, TAG_FIELD), filter);
        }

        #[test]
        fn any_text_is_read(text in "[-_a-z.'\"\\\\ ()\\[\\],=<>!NOTANDéx\u{2E00}]{0,40}", at in 0usize..40) {
            let mut text = text;
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.insert_str(at, TAG_FIELD);
            let out = hidden(&text);
            if !text.contains('\\') {
                prop_assert_eq!(out.replace(STAND_IN, TAG_FIELD), text);
            }
        }
    }
}
