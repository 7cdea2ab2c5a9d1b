//! Lists of the engine that come in pages with their total: `/keys`, `/indexes`.

use serde::Deserialize;

/// Items of a page: the most that the engine gives at once.
const ITEMS: usize = 1000;

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    results: Vec<T>,
    total: usize,
}

/// The whole list of a route; `get` reads the page of a path.
pub(crate) async fn all<T, E, F>(route: &str, get: impl Fn(String) -> F) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<Page<T>, E>>,
{
    let mut all = Vec::new();
    loop {
        let page = get(format!("{route}?limit={ITEMS}&offset={}", all.len())).await?;
        let empty = page.results.is_empty();
        all.extend(page.results);
        if empty || all.len() >= page.total {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_pages_are_read_and_a_list_that_shrinks_ends() {
        for total in [5, 9] {
            let get = |path: String| async move {
                let offset: usize = path.strip_prefix("/keys?limit=1000&offset=").unwrap().parse().unwrap();
                Ok::<_, ()>(Page { results: (offset..5).take(2).collect(), total })
            };
            assert_eq!(all("/keys", get).await, Ok(vec![0, 1, 2, 3, 4]));
        }
    }
}
