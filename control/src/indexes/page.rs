//! `offset` and `limit` of lists.

use miroir_core::error::ErrorBody;
use serde_json::{Value, json};

use super::query;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    offset: usize,
    limit: usize,
}

/// Reads `offset` (0) and `limit` (20); other parameters are refused.
pub(crate) fn read(query: Option<&str>, offset: &'static str, limit: &'static str) -> Result<Page, ErrorBody> {
    let mut page = Page { offset: 0, limit: 20 };
    for (name, value) in query::pairs(query) {
        match name.as_str() {
            "offset" => page.offset = query::number(&name, &value, offset)?,
            "limit" => page.limit = query::number(&name, &value, limit)?,
            _ => return Err(query::unknown(&name, &["offset", "limit"])),
        }
    }
    Ok(page)
}

impl Page {
    /// The engine's view of a page of `all`.
    pub(crate) fn cut(&self, all: Vec<Value>) -> Value {
        let total = all.len();
        let results = all.into_iter().skip(self.offset).take(self.limit).collect::<Vec<_>>();
        json!({ "results": results, "offset": self.offset, "limit": self.limit, "total": total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_as_the_engine_does() {
        let all = || (0..3).map(Value::from).collect::<Vec<_>>();
        let cut = |query| read(query, "o", "l").unwrap().cut(all()).to_string();
        assert_eq!(cut(None), r#"{"results":[0,1,2],"offset":0,"limit":20,"total":3}"#);
        assert_eq!(cut(Some("limit=1&offset=1")), r#"{"results":[1],"offset":1,"limit":1,"total":3}"#);
        assert_eq!(cut(Some("offset=9")), r#"{"results":[],"offset":9,"limit":20,"total":3}"#);
    }

    #[test]
    fn bad_parameters_are_named() {
        let fault = |query| read(Some(query), "invalid_index_offset", "invalid_index_limit").unwrap_err();
        let error = fault("offset=-1");
        assert_eq!(error.code, "invalid_index_offset");
        assert_eq!(error.message, "Invalid value in parameter `offset`: could not parse `-1` as a positive integer");
        assert_eq!(fault("limit=a").code, "invalid_index_limit");
        assert_eq!(fault("foo=1").message, "Unknown parameter `foo`: expected one of `offset`, `limit`");
    }
}
