//! Members of hits: what each is read for, and whether the client gets it.

use super::BadAnswer;
use super::hits::{HitRules, Ranked};
use super::scan::{Scanner, Span};
use crate::tag::TAG_FIELD;

/// True for a member that the client gets.
#[inline]
fn keeps(name: &[u8], rules: &HitRules) -> bool {
    let reserved = match name {
        // Nearly all names end here.
        [first, ..] if *first != b'_' => false,
        b"_rankingScore" => rules.ranked == Ranked::Details && !rules.keep_score,
        b"_rankingScoreDetails" => rules.ranked == Ranked::Details && !rules.keep_details,
        b"_federation" => rules.ranked == Ranked::SortValues,
        _ => name == TAG_FIELD.as_bytes(),
    };
    !reserved && !rules.hidden.iter().any(|hidden| hidden.as_bytes() == name)
}

/// What a member is read for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Nothing but its end, and the distinct attribute.
    Page,
    /// As a page, and the value of the primary key.
    Key,
    Details,
    Score,
    Federation,
    Formatted,
    Positions,
}

impl Purpose {
    #[inline]
    fn of(name: &[u8], rules: &HitRules) -> Self {
        match name {
            _ if rules.primary_key.as_ref().is_some_and(|key| key.as_bytes() == name) => Self::Key,
            // Nearly all names end here.
            [first, ..] if *first != b'_' => Self::Page,
            b"_rankingScoreDetails" if rules.ranked == Ranked::Details => Self::Details,
            b"_rankingScore" if rules.ranked == Ranked::Details => Self::Score,
            b"_federation" if rules.ranked == Ranked::SortValues => Self::Federation,
            b"_formatted" if rules.ranked == Ranked::Details => Self::Formatted,
            b"_matchesPosition" if rules.displayed.is_some() => Self::Positions,
            _ => Self::Page,
        }
    }
}

/// What the name of a member means. Hits of one answer mostly have the same members in the same order, so that a name
/// is known by its bytes once it has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    /// The name with its quotes and its colon, in the hit that it was read in.
    text: Span,
    pub name: Span,
    pub keep: bool,
    pub purpose: Purpose,
}

impl Named {
    /// Reads the name of a hit's member at this position, and its colon.
    ///
    /// # Errors
    /// Where what comes next is no name.
    #[inline]
    pub fn next(
        known: &mut Vec<Self>,
        position: usize,
        scanner: &mut Scanner<'_>,
        rules: &HitRules,
    ) -> Result<Self, BadAnswer> {
        match known.get_mut(position) {
            Some(known) => {
                if !scanner.skip_repeated(known.text) {
                    *known = Self::read(scanner, rules)?;
                }
                Ok(*known)
            }
            None => {
                let named = Self::read(scanner, rules)?;
                known.push(named);
                Ok(named)
            }
        }
    }

    #[inline(never)]
    fn read(scanner: &mut Scanner<'_>, rules: &HitRules) -> Result<Self, BadAnswer> {
        let start = scanner.at();
        let span = scanner.name()?;
        let name = scanner.slice(span);
        let text = Span { start, end: scanner.at() };
        Ok(Self { text, name: span, keep: keeps(name, rules), purpose: Purpose::of(name, rules) })
    }
}
