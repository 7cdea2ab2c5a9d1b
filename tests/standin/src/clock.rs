//! Times as the engine writes them.

use jiff::Timestamp;

/// The present instant.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// RFC 3339 with nanoseconds, in UTC.
pub(crate) fn text(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%S%.fZ").to_string()
}

/// The ISO 8601 duration between two instants, in seconds: `PT0.395813856S`.
pub(crate) fn duration(from: Timestamp, to: Timestamp) -> String {
    let nanos = to.as_nanosecond().saturating_sub(from.as_nanosecond()).max(0);
    format!("PT{}.{:09}S", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// Reads a date or an RFC 3339 instant; a date means its first moment in UTC.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
