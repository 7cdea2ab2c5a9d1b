//! Query strings with the engine's messages: unknown parameters, lists with `*`, numbers, dates.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use miroir_core::error::ErrorBody;

/// Decodes a query string into pairs, in order. A repeated name stays repeated: the last one counts.
#[must_use]
pub fn pairs(raw: &str) -> Vec<(String, String)> {
    let Ok(mut url) = reqwest::Url::parse("http://query/") else { return Vec::new() };
    url.set_query(Some(raw));
    url.query_pairs().into_owned().collect()
}

/// The engine's refusal of a parameter that it does not know.
#[must_use]
pub fn unknown_parameter(name: &str, accepted: &[&str]) -> ErrorBody {
    let names: Vec<String> = accepted.iter().map(|name| format!("`{name}`")).collect();
    let hint = did_you_mean(name, accepted);
    ErrorBody::new("bad_request", format!("Unknown parameter `{name}`: {hint}expected one of {}", names.join(", ")))
}

/// `did you mean …? ` for a name that is a few typos away from an accepted one, else nothing. The allowance grows
/// with the length, as the engine has it.
#[must_use]
pub fn did_you_mean(received: &str, accepted: &[&str]) -> String {
    let allowed = match received.len() {
        0..=3 => return String::new(),
        4..=7 => 1,
        8..=12 => 2,
        13..=17 => 3,
        18..=24 => 4,
        _ => 5,
    };
    accepted
        .iter()
        .map(|name| (distance(received, name), name))
        .filter(|(typos, _)| *typos <= allowed)
        .min_by_key(|(typos, _)| *typos)
        .map(|(_, name)| format!("did you mean `{name}`? "))
        .unwrap_or_default()
}

/// Edits between two names: insertions, deletions, replacements, and swaps of neighbours.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for (at, character) in left.iter().enumerate() {
        let mut row = vec![at + 1];
        for (column, other) in right.iter().enumerate() {
            let mut best = (rows[at][column + 1] + 1).min(row[column] + 1);
            best = best.min(rows[at][column] + usize::from(character != other));
            if at > 0 && column > 0 && left[at - 1] == *other && right[column - 1] == *character {
                best = best.min(rows[at - 1][column - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

fn invalid(parameter: &str, code: &str, fault: &str) -> ErrorBody {
    ErrorBody::new(code, format!("Invalid value in parameter `{parameter}`: {fault}"))
}

/// A number as the engine reads it.
///
/// # Errors
/// The engine's message under `code`.
pub fn number(parameter: &str, code: &str, value: &str) -> Result<u32, ErrorBody> {
    value.parse().map_err(|_| invalid(parameter, code, &format!("could not parse `{value}` as a positive integer")))
}

/// `true` or `false`.
///
/// # Errors
/// The engine's message under `code`.
pub fn boolean(parameter: &str, code: &str, value: &str) -> Result<bool, ErrorBody> {
    value.parse().map_err(|_| {
        invalid(parameter, code, &format!("could not parse `{value}` as a boolean, expected either `true` or `false`"))
    })
}

/// A comma-separated list; none where it holds a `*`. Empty members do not count. `read` says what is wrong with a
/// member.
///
/// # Errors
/// The engine's message under `code`, with the member's position where there are several.
pub fn list<T>(
    parameter: &str,
    code: &str,
    value: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<Vec<T>>, ErrorBody> {
    let members: Vec<&str> = value.split(',').filter(|member| !member.is_empty()).collect();
    let mut list = Vec::with_capacity(members.len());
    let mut star = false;
    for (at, member) in members.iter().enumerate() {
        if *member == "*" {
            star = true;
            continue;
        }
        match read(member) {
            Ok(member) => list.push(member),
            Err(fault) if members.len() > 1 => return Err(invalid(&format!("{parameter}[{at}]"), code, &fault)),
            Err(fault) => return Err(invalid(parameter, code, &fault)),
        }
    }
    Ok((!star).then_some(list))
}

/// A moment: RFC 3339, or a day, which begins at midnight UTC; after a day means after its end.
///
/// # Errors
/// The engine's message under `code`.
pub fn moment(parameter: &str, code: &str, value: &str, after: bool) -> Result<Option<Timestamp>, ErrorBody> {
    if value == "*" {
        return Ok(None);
    }
    if let Ok(moment) = value.parse::<Timestamp>() {
        return Ok(Some(moment));
    }
    let day = Date::strptime("%Y-%m-%d", value).ok().filter(|_| value.len() == 10);
    let day = if after { day.and_then(|day| day.tomorrow().ok()) } else { day };
    match day.and_then(|day| day.to_zoned(TimeZone::UTC).ok()) {
        Some(start) => Ok(Some(start.timestamp())),
        None => Err(invalid(
            parameter,
            code,
            &format!(
                "`{value}` is an invalid date-time. It should follow the YYYY-MM-DD or RFC 3339 date-time format."
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_parameter_is_named_with_a_hint() {
        let error = unknown_parameter("limits", &["limit", "from"]);
        assert_eq!(error.message, "Unknown parameter `limits`: did you mean `limit`? expected one of `limit`, `from`");
        assert_eq!(unknown_parameter("foo", &["from"]).message, "Unknown parameter `foo`: expected one of `from`");
    }

    #[test]
    fn a_member_of_a_list_is_named_by_position_only_among_several() {
        let read = |text: &str| text.parse::<u32>().map_err(|_| "no".to_owned());
        assert_eq!(list("uids", "c", "1,,0", read).unwrap(), Some(vec![1, 0]));
        assert_eq!(list("uids", "c", "1,*", read).unwrap(), None);
        assert_eq!(list("uids", "c", "", read).unwrap(), Some(vec![]));
        assert_eq!(list("uids", "c", "1,a", read).unwrap_err().message, "Invalid value in parameter `uids[1]`: no");
        assert_eq!(list("uids", "c", "a", read).unwrap_err().message, "Invalid value in parameter `uids`: no");
    }

    #[test]
    fn a_day_begins_at_midnight_and_after_it_is_the_next() {
        let day = |after| moment("p", "c", "2024-02-29", after).unwrap().unwrap().to_string();
        assert_eq!(day(false), "2024-02-29T00:00:00Z");
        assert_eq!(day(true), "2024-03-01T00:00:00Z");
        assert!(moment("p", "c", "2024-13-01", true).is_err());
        assert!(moment("p", "c", "2024-1-1", true).is_err());
    }

    #[test]
    fn pairs_are_decoded() {
        assert_eq!(pairs("a=b%20c&a=+1"), [("a".into(), "b c".into()), ("a".into(), " 1".into())]);
    }
}
