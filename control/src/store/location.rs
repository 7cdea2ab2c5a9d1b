//! Where the store is.

use std::fmt;
use std::path::PathBuf;

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// One SQLite file: one control.
    File(PathBuf),
    /// A Redis that several controls share, one of which leads.
    Redis(RedisLocation),
}

/// A Redis. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisLocation {
    /// `redis://` or `rediss://` URL, with user and database where needed.
    pub url: String,
    /// Password, where the URL has none.
    pub password: Option<String>,
    /// What all keys begin with: clusters that share a Redis differ in it.
    pub prefix: String,
    /// How long a leader that is silent is still the leader, milliseconds.
    pub lease_ms: u64,
}

impl fmt::Debug for RedisLocation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// For logs: without password.
impl fmt::Display for RedisLocation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = reqwest::Url::parse(&self.url).map_err(|_| fmt::Error)?;
        if url.password().is_some() {
            let _ = url.set_password(Some("***"));
        }
        write!(out, "{url} ({})", self.prefix)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "{}", path.display()),
            Self::Redis(redis) => write!(out, "{redis}"),
        }
    }
}

impl RedisLocation {
    /// The name of one of the store's keys. All carry one hash tag, so that a script may use them together.
    pub(super) fn key(&self, what: &str) -> String {
        format!("{{{}}}:{what}", self.prefix)
    }

    /// Whether the URL can be read; nothing is reached.
    ///
    /// # Errors
    /// The client's own.
    pub fn check(&self) -> redis::RedisResult<()> {
        self.client().map(|_| ())
    }

    pub(super) fn client(&self) -> redis::RedisResult<redis::Client> {
        use redis::IntoConnectionInfo;
        let info = self.url.as_str().into_connection_info()?;
        let Some(password) = &self.password else { return redis::Client::open(info) };
        let settings = info.redis_settings().clone().set_password(password.as_str());
        redis::Client::open(info.set_redis_settings(settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let location = RedisLocation {
            url: "redis://user:secret@host:6379/2".into(),
            password: Some("hidden".into()),
            prefix: "miroir".into(),
            lease_ms: 5_000,
        };
        let shown = format!("{location} {location:?} {}", Location::Redis(location.clone()));
        assert!(!shown.contains("secret") && !shown.contains("hidden"), "{shown}");
        assert!(shown.contains("host:6379/2"), "{shown}");
    }
}
