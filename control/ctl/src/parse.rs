//! Values of the command line.

use std::time::Duration;

use serde_json::Value;

fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let at = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    Some((number.parse().ok()?, unit.trim()))
}

/// `30s`, `5m`, `2h`, `500ms`; a plain number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let fault = || format!("`{text}` is no time such as 30s, 5m or 2h");
    let (number, unit) = number_and_unit(text).ok_or_else(fault)?;
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(fault()),
    };
    Duration::try_from_secs_f64(number * factor).map_err(|_| fault())
}

/// `20GB`, `512KiB`, `1000`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let fault = || format!("`{text}` is no size such as 20GB or 512KiB");
    let (number, unit) = number_and_unit(text).ok_or_else(fault)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" | "k" => 1e3,
        "mb" | "m" => 1e6,
        "gb" | "g" => 1e9,
        "tb" | "t" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(fault()),
    };
    Ok((number * factor) as u64)
}

/// A weight: a number above 0.
pub fn weight(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("`{text}` is not a number above 0"))
}

/// A JSON object.
pub fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("not a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_above_nothing() {
        assert_eq!((weight("2"), weight("0.5")), (Ok(2.0), Ok(0.5)));
        for text in ["0", "-1", "nan", "inf", "", "two"] {
            assert_eq!(weight(text), Err(format!("`{text}` is not a number above 0")));
        }
    }

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!((bytes("20GB"), bytes("1 KiB"), bytes("7")), (Ok(20_000_000_000), Ok(1024), Ok(7)));
        for text in ["", "s", "5d", "-1s", "1e400"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(bytes("5 apples").is_err());
    }

    #[test]
    fn search_parameters_are_an_object() {
        assert!(object(r#"{"limit": 3}"#).is_ok());
        assert!(object("[1]").is_err() && object("{").is_err());
    }
}
