//! Words and values of the data, taken at random.

use rand::RngExt;
use rand::rngs::StdRng;

use super::data::Set;
use super::words::{split, texts};

/// Any of these.
pub(super) fn any<'a, T>(items: &'a [T], random: &mut StdRng) -> &'a T {
    &items[random.random_range(0..items.len())]
}

/// A text of any document in one of its searchable fields.
fn source<'a>(set: &'a Set, random: &mut StdRng) -> &'a str {
    loop {
        let document = any(&set.data.documents, random);
        let field = any(set.texts, random);
        if let Some(text) = texts(&document[*field]).first() {
            return text;
        }
    }
}

/// Up to `count` words of one text, not always neighbours.
pub(super) fn text(set: &Set, random: &mut StdRng, count: usize) -> String {
    let words = split(source(set, random));
    let step = if random.random_bool(0.7) { 1 } else { 2 };
    let skip = random.random_range(0..words.len().saturating_sub(count).max(1));
    words.into_iter().skip(skip).step_by(step).take(count).collect::<Vec<_>>().join(" ")
}

/// Two words that stand together.
pub(super) fn phrase(set: &Set, random: &mut StdRng) -> String {
    let words = split(source(set, random));
    let skip = random.random_range(0..words.len().saturating_sub(2).max(1));
    words.into_iter().skip(skip).take(2).collect::<Vec<_>>().join(" ")
}

/// A text whose last word is not finished.
pub(super) fn prefix(text: &str, random: &mut StdRng) -> String {
    let last = text.rsplit(' ').next().unwrap_or_default().chars().count();
    let kept = text.chars().count() - last.saturating_sub(random.random_range(1..=last.max(1)));
    text.chars().take(kept).collect()
}

/// A text with one letter missing, changed, doubled or out of its place.
pub(super) fn misspelt(text: &str, random: &mut StdRng) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    if letters.len() < 3 {
        return text.to_owned();
    }
    let at = random.random_range(1..letters.len() - 1);
    match random.random_range(0..4) {
        0 => drop(letters.remove(at)),
        1 => letters[at] = 'x',
        2 => letters.insert(at, letters[at]),
        _ => letters.swap(at, at + 1),
    }
    letters.into_iter().collect()
}

/// A value of this field in any document, as text.
pub(super) fn value(set: &Set, field: &str, random: &mut StdRng) -> Option<String> {
    (0..100).find_map(|_| any(&set.data.documents, random)[field].as_str().map(str::to_owned))
}

/// A number of this field in any document.
pub(super) fn number(set: &Set, field: &str, random: &mut StdRng) -> Option<f64> {
    (0..100).find_map(|_| any(&set.data.documents, random)[field].as_f64())
}
