//! Query strings in the engine's words.

use miroir_core::error::ErrorBody;

use crate::settings::unknown_of;

/// The decoded pairs of a query string.
pub(crate) fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    let Ok(mut url) = reqwest::Url::parse("http://q/") else { return Vec::new() };
    url.set_query(query);
    url.query_pairs().into_owned().collect()
}

/// A count.
pub(crate) fn number(name: &str, value: &str, code: &str) -> Result<usize, ErrorBody> {
    value.parse().map_err(|_| invalid(name, code, &format!("could not parse `{value}` as a positive integer")))
}

/// `true` or `false`.
pub(crate) fn boolean(name: &str, value: &str, code: &str) -> Result<bool, ErrorBody> {
    let why = format!("could not parse `{value}` as a boolean, expected either `true` or `false`");
    value.parse().map_err(|_| invalid(name, code, &why))
}

/// One of some words.
pub(crate) fn choice(name: &str, value: &str, code: &str, accepted: &[&str]) -> Result<(), ErrorBody> {
    if accepted.contains(&value) {
        return Ok(());
    }
    let message = format!("Unknown value `{value}` for parameter `{name}`: {}", unknown_of(value, accepted));
    Err(ErrorBody::new(code, message))
}

/// A parameter that the route does not have.
pub(crate) fn unknown(name: &str, accepted: &[&str]) -> ErrorBody {
    ErrorBody::new("bad_request", format!("Unknown parameter `{name}`: {}", unknown_of(name, accepted)))
}

fn invalid(name: &str, code: &str, why: &str) -> ErrorBody {
    ErrorBody::new(code, format!("Invalid value in parameter `{name}`: {why}"))
}
