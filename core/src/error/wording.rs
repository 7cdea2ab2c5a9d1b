//! How the engine words the refusal of a name that it does not know (the crate `deserr`, 0.6).

use strsim::damerau_levenshtein;

/// "did you mean `a`? expected one of `a`, `b`"; the hint only where a name is near enough.
#[must_use]
pub fn expected_one_of<'a>(found: &str, accepted: impl Iterator<Item = &'a str> + Clone) -> String {
    let typos = match found.len() {
        0..=3 => None,
        4..=7 => Some(1),
        8..=12 => Some(2),
        13..=17 => Some(3),
        18..=24 => Some(4),
        _ => Some(5),
    };
    let near = |typos: usize| {
        let distances = accepted.clone().map(|name| (damerau_levenshtein(found, name), name));
        distances.filter(|(distance, _)| *distance <= typos).min_by_key(|(distance, _)| *distance)
    };
    let hint = typos.and_then(near).map(|(_, name)| format!("did you mean `{name}`? ")).unwrap_or_default();
    let names: Vec<String> = accepted.clone().map(|name| format!("`{name}`")).collect();
    format!("{hint}expected one of {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_hinted_at() {
        let expected = |found| expected_one_of(found, ["primaryKey", "csvDelimiter"].into_iter());
        let all = "expected one of `primaryKey`, `csvDelimiter`";
        assert_eq!(expected("primarykey"), format!("did you mean `primaryKey`? {all}"));
        assert_eq!(expected("svcDelimiter"), format!("did you mean `csvDelimiter`? {all}"));
        assert_eq!(expected("primary"), all);
        assert_eq!(expected("csv"), all);
    }
}
