//! Hashes against the committed vectors of an independent implementation.

use miroir_core::hash::{digest128, key_hash, shard_of};

const KEYS: &str = include_str!("../vectors/keys.csv");
const DIGESTS: &str = include_str!("../vectors/digests.csv");

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The bytes that `make.py` names by their number.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| ((7 * i + i / 251) % 256) as u8).collect()
}

pub fn keys_and_shards() {
    let mut seen = 0;
    for line in KEYS.lines().skip(1) {
        let columns: Vec<&str> = line.split(',').collect();
        let key = unhex(columns[0]);
        assert_eq!(format!("{:016x}", key_hash(&key)), columns[1], "{line}");
        for (count, shard) in [(16, columns[2]), (100, columns[3]), (128, columns[4])] {
            assert_eq!(shard_of(&key, count).to_string(), shard, "{line}");
        }
        seen += 1;
    }
    assert!(seen > 100);
}

pub fn digests() {
    for line in DIGESTS.lines().skip(1) {
        let (input, digest) = line.split_once(',').unwrap();
        let mut fields = input.split('.');
        let parts: Vec<Vec<u8>> = match fields.next().unwrap() {
            "parts" => fields.map(unhex).collect(),
            "patterns" => fields.map(|length| pattern(length.parse().unwrap())).collect(),
            other => panic!("{other}"),
        };
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert_eq!(digest128(&parts), digest, "{line}");
    }
}
