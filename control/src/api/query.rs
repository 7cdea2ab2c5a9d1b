//! Query parameters of the tasks API with the engine's messages: numbers, lists with `*`, dates.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use miroir_core::error::ErrorBody;

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
}
