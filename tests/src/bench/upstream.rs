//! A fixed upstream: answers every request at once with the same page, as a node would; and heartbeats as control would,
//! without whose word a worker does not read.

use std::net::SocketAddr;
use std::sync::Arc;

use miroir_core::wire::{HEARTBEAT_PATH, HeartbeatAnswer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Epoch of the map that the filter has.
pub const EPOCH: u64 = 1;

/// A node's answer with this many hits of about one kilobyte.
pub fn page(hits: usize) -> String {
    let hits: Vec<_> = (0..hits)
        .map(|at| {
            json!({
                "id": at,
                "title": format!("The title of document {at}"),
                "overview": "A page of text that stands for what documents hold. ".repeat(9),
                "genres": ["Drama", "Comedy"],
                "release": 1_900_000_000 + at,
                "rating": 7.25,
                "_miroir_shard": "\u{2E00}\u{2E01}",
                "_rankingScoreDetails": {
                    "words": {"order": 0, "matchingWords": 1, "maxMatchingWords": 1, "score": 1.0},
                    "typo": {"order": 1, "typoCount": at / 8, "maxTypoCount": 2, "score": 1.0 - at as f64 / 1e4},
                    "proximity": {"order": 2, "score": 1.0},
                    "attributeRank": {"order": 3, "score": 1.0},
                    "wordPosition": {"order": 4, "score": 1.0},
                    "exactness": {"order": 5, "matchType": "noExactMatch", "matchingWords": 0, "maxMatchingWords": 1,
                                  "score": 0.3333}
                }
            })
        })
        .collect();
    json!({
        "hits": hits, "query": "title", "processingTimeMs": 1, "limit": hits.len(), "offset": 0,
        "estimatedTotalHits": hits.len(), "requestUid": "0198f5a2-0000-7000-8000-000000000000"
    })
    .to_string()
}

/// Serves the page on a free port until the runtime ends.
///
/// # Errors
/// When no port is free.
pub async fn serve(page: &str) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", page.len());
    let answer: Arc<[u8]> = [head.as_bytes(), page.as_bytes()].concat().into();
    let word = serde_json::to_string(&HeartbeatAnswer { epoch: EPOCH, reader_key: None, unreachable: Vec::new() })?;
    let word: Arc<[u8]> =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{word}", word.len()).into_bytes().into();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, word) = (Arc::clone(&answer), Arc::clone(&word));
            tokio::spawn(async move { converse(stream, &answer, &word).await });
        }
    });
    Ok(address)
}

/// Reads requests (head, then `content-length` bytes) and answers each.
async fn converse(mut stream: TcpStream, answer: &[u8], word: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length =
            head.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next()?.trim().parse().ok());
        let whole = end + 4 + length.unwrap_or(0usize);
        while buffer.len() < whole {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        buffer.drain(..whole);
        stream.write_all(if head.contains(HEARTBEAT_PATH) { word } else { answer }).await?;
    }
}
