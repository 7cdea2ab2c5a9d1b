//! Which Meilisearch the nodes run: `MEILISEARCH_BIN`, else `meilisearch` on PATH, else the stand-in.

use std::path::PathBuf;
use std::sync::Once;

use anyhow::ensure;

use super::parts;

/// A node's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The program.
    pub program: PathBuf,
    /// True for our own stand-in: fault injection is there, exactness is not promised.
    pub standin: bool,
}

/// A program that was named.
fn checked(program: PathBuf) -> anyhow::Result<PathBuf> {
    ensure!(program.is_file(), "MEILISEARCH_BIN names {}, and there is no such file", program.display());
    Ok(program)
}

static SAY: Once = Once::new();

impl Engine {
    /// Finds the engine, and says once which it is.
    ///
    /// # Errors
    /// When neither an engine nor the stand-in is there.
    pub fn find() -> anyhow::Result<Self> {
        let real = match parts::named("MEILISEARCH_BIN") {
            Some(program) => Some(checked(program)?),
            None => parts::on_path("meilisearch"),
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = checked("/nowhere/meilisearch".into()).unwrap_err().to_string();
        assert_eq!(error, "MEILISEARCH_BIN names /nowhere/meilisearch, and there is no such file");
        let this = std::env::current_exe().unwrap();
        assert_eq!(checked(this.clone()).unwrap(), this);
    }
}
