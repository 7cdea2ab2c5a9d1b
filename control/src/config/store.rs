//! Where the store is, from the file, the environment and flags.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;
use super::secret::read;
use crate::store::{Location, RedisLocation};

/// `[store]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// SQLite file.
    pub path: Option<PathBuf>,
    /// URL of a Redis that several controls share; instead of a file.
    pub redis_url: Option<String>,
    /// File that holds its password.
    pub redis_password_file: Option<PathBuf>,
    /// What all keys in it begin with.
    pub redis_prefix: Option<String>,
    /// How long a silent leader stays the leader, milliseconds.
    pub lease_ms: Option<u64>,
    /// Directory of spooled payloads.
    pub spool: Option<PathBuf>,
}

/// Whether `--store` names a Redis rather than a file.
pub(super) fn is_redis(text: &str) -> bool {
    text.starts_with("redis://") || text.starts_with("rediss://")
}

pub(super) fn location(section: &StoreSection) -> Result<Location, ConfigError> {
    let Some(url) = &section.redis_url else {
        if section.redis_password_file.is_some() || section.redis_prefix.is_some() || section.lease_ms.is_some() {
            return Err(ConfigError::value(
                "store.redis_url",
                "is missing, though other settings of a Redis are given",
            ));
        }
        return Ok(Location::File(section.path.clone().unwrap_or_else(|| PathBuf::from("miroir.sqlite"))));
    };
    if section.path.is_some() {
        return Err(ConfigError::value("store.path", "and store.redis_url exclude each other"));
    }
    let lease_ms = section.lease_ms.unwrap_or(5_000);
    if !(500..=300_000).contains(&lease_ms) {
        return Err(ConfigError::value("store.lease_ms", "must be from 500 to 300000"));
    }
    let prefix = section.redis_prefix.clone().unwrap_or_else(|| "miroir".to_owned());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if prefix.is_empty() || !prefix.bytes().all(plain) {
        return Err(ConfigError::value("store.redis_prefix", "must be made of letters, digits, `-`, `_` and `.`"));
    }
    let password = match &section.redis_password_file {
        Some(path) => Some(read(path)?.trim_end_matches(['\r', '\n']).to_owned()),
        None => None,
    };
    let location = RedisLocation { url: url.clone(), password, prefix, lease_ms };
    // The URL may hold a password: the fault does not repeat it.
    if !is_redis(url) || location.check().is_err() {
        return Err(ConfigError::value("store.redis_url", "is not redis://[user[:password]@]host[:port][/database]"));
    }
    Ok(Location::Redis(location))
}

/// Where payloads are spooled by default: on the store's disk, or where temporary files go.
pub(super) fn spool_beside(store: &Location) -> PathBuf {
    let beside = match store {
        Location::File(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
        Location::Redis(_) => std::env::temp_dir(),
    };
    beside.join("miroir-spool")
}

/// Where the findings file is by default: on the store's disk, or where the process runs.
pub(super) fn findings_beside(store: &Location) -> PathBuf {
    let beside = match store {
        Location::File(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
        Location::Redis(_) => PathBuf::new(),
    };
    beside.join("miroir-findings.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Result<Location, ConfigError> {
        location(&toml::from_str(text).unwrap())
    }

    #[test]
    fn a_file_is_the_default() {
        assert_eq!(section("").unwrap(), Location::File("miroir.sqlite".into()));
        assert_eq!(section("path = 'a/b'").unwrap(), Location::File("a/b".into()));
        assert_eq!(spool_beside(&Location::File("a/b".into())), Path::new("a/miroir-spool"));
        assert_eq!(findings_beside(&Location::File("a/b".into())), Path::new("a/miroir-findings.jsonl"));
    }

    #[test]
    fn a_redis_has_defaults_too() {
        let Location::Redis(redis) = section("redis_url = 'redis://host'").unwrap() else { panic!("no Redis") };
        assert_eq!((redis.prefix.as_str(), redis.lease_ms, redis.password), ("miroir", 5_000, None));
    }

    #[test]
    fn what_cannot_be_is_refused_without_showing_secrets() {
        for (text, key) in [
            ("path = 'a'\nredis_url = 'redis://host'", "store.path"),
            ("lease_ms = 5000", "store.redis_url"),
            ("redis_url = 'redis://host'\nlease_ms = 1", "store.lease_ms"),
            ("redis_url = 'redis://host'\nredis_prefix = 'a{b'", "store.redis_prefix"),
            ("redis_url = 'http://me:secret@host'", "store.redis_url"),
            ("redis_url = 'redis://me:secret@host:port'", "store.redis_url"),
        ] {
            let fault = section(text).unwrap_err().to_string();
            assert!(fault.starts_with(key) && !fault.contains("secret"), "{text}: {fault}");
        }
    }
}
