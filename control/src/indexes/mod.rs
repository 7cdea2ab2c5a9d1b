//! The indexes API: create, list, show, change, delete, swap. Control owns what is shown; nodes follow in the order of
//! tickets.

pub(crate) mod page;
pub(crate) mod query;
mod routes;
#[cfg(test)]
mod tests;

use miroir_core::error::ErrorBody;

pub use routes::router;

/// Checks an index uid.
///
/// # Errors
/// 400 `invalid_index_uid`.
pub fn valid_uid(uid: &str) -> Result<(), ErrorBody> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !uid.is_empty() && uid.len() <= 400 && uid.chars().all(legal) {
        return Ok(());
    }
    Err(ErrorBody::new("invalid_index_uid", uid_rule(uid)))
}

/// A moment as the engine writes it: always with a fraction, without which clients cannot read it.
pub(crate) fn moment(milliseconds: u64) -> String {
    let moment = i64::try_from(milliseconds).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", moment.unwrap_or_default())
}

/// The engine's words for an illegal uid.
fn uid_rule(uid: &str) -> String {
    format!(
        "`{uid}` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes."
    )
}
