//! Which Meilisearch the nodes run: `MEILISEARCH_BIN`, else `meilisearch` on PATH, else the stand-in.

use std::path::PathBuf;
use std::sync::Once;

use super::parts;

/// A node's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The program.
    pub program: PathBuf,
    /// True for our own stand-in: fault injection is there, exactness is not promised.
    pub standin: bool,
}

static SAY: Once = Once::new();

impl Engine {
    /// Finds the engine, and says once which it is.
    ///
    /// # Errors
    /// When neither an engine nor the stand-in is there.
    pub fn find() -> anyhow::Result<Self> {
        let real = std::env::var_os("MEILISEARCH_BIN").map(PathBuf::from).or_else(|| parts::on_path("meilisearch"));
        let engine = match real {
            Some(program) => Self { program, standin: false },
            None => Self::standin()?,
        };
        SAY.call_once(|| {
            let kind = if engine.standin { "the stand-in" } else { "Meilisearch" };
            eprintln!("nodes run {kind}: {}", engine.program.display());
        });
        Ok(engine)
    }

    /// The stand-in, for tests that inject faults.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn standin() -> anyhow::Result<Self> {
        Ok(Self { program: parts::standin()?, standin: true })
    }
}
