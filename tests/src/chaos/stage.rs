//! What writers, readers and the hand that breaks things share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use miroir_core::invariants::Document;
use serde_json::Value;

use super::history::Moment;
use super::ledger::{Key, Ledger};
use super::tally::Tally;

/// The index that is written and read.
pub const INDEX: &str = "chaos";
/// Its documents have ids below this.
pub const KEYS: Key = 240;
/// The smaller index that is deleted and created again all the time.
pub const PASSING: &str = "passing";
/// Its documents have ids below this.
pub const PASSING_KEYS: Key = 60;
/// Documents fall into this many groups, which can be filtered.
pub const GROUPS: Key = 8;

/// What a reader saw.
#[derive(Debug)]
pub struct Seen {
    /// Everything that was known to have succeeded then had to be seen.
    pub since: Moment,
    /// When the answer was there.
    pub until: Moment,
    /// Which documents were asked for.
    pub asked: Asked,
    /// What was there, by id.
    pub found: Vec<(Key, Arc<Document>)>,
    /// In words: which request, through which Envoy.
    pub by: String,
}

/// Which documents a reader asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All.
    All,
    /// One.
    One(Key),
    /// Those of a group.
    Group(Key),
}

impl Asked {
    /// Whether this document belongs to the answer.
    #[must_use]
    pub fn covers(self, key: Key) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one == key,
            Self::Group(group) => key % GROUPS == group,
        }
    }
}

/// The shared part: of one index, but for what is the same for all.
#[derive(Debug)]
pub struct Stage {
    /// The index.
    pub index: &'static str,
    /// Its documents have ids below this.
    pub keys: Key,
    start: Instant,
    /// Writers and readers end.
    pub curtain: Arc<AtomicBool>,
    /// Since when each Envoy may lag behind control; `u64::MAX` while it does not.
    pub lagging: Arc<Vec<AtomicU64>>,
    ledger: Mutex<Ledger>,
    tally: Arc<Mutex<Tally>>,
    seen: Mutex<Vec<Seen>>,
    known: Mutex<HashMap<String, Arc<Document>>>,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    /// A stage with this many Envoys.
    #[must_use]
    pub fn new(envoys: usize) -> Self {
        Self {
            index: INDEX,
            keys: KEYS,
            start: Instant::now(),
            curtain: Arc::default(),
            lagging: Arc::new((0..envoys).map(|_| AtomicU64::new(u64::MAX)).collect()),
            ledger: Mutex::default(),
            tally: Arc::default(),
            seen: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// The stage of the index that passes, beside this one: with a ledger of its own.
    #[must_use]
    pub fn passing(&self) -> Self {
        Self {
            index: PASSING,
            keys: PASSING_KEYS,
            start: self.start,
            curtain: Arc::clone(&self.curtain),
            lagging: Arc::clone(&self.lagging),
            ledger: Mutex::default(),
            tally: Arc::clone(&self.tally),
            seen: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Whether the index is deleted and created again.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.index == PASSING
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// True once writers and readers are to end.
    #[must_use]
    pub fn over(&self) -> bool {
        self.curtain.load(Ordering::SeqCst)
    }

    /// The ledger.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        hold(&self.ledger)
    }

    /// Counts and findings.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        hold(&self.tally)
    }

    /// What readers saw in this round.
    pub fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        hold(&self.seen)
    }

    /// Since when a read through this Envoy that begins now must know what has succeeded.
    #[must_use]
    pub fn since(&self, envoy: usize) -> Moment {
        let lagging = self.lagging.get(envoy).map_or(u64::MAX, |since| since.load(Ordering::SeqCst));
        self.now().min(lagging)
    }

    /// A document as the ledger has it; equal ones are kept once. None where it has no usable id.
    pub fn document(&self, document: &Value) -> Option<(Key, Arc<Document>)> {
        let key = Key::try_from(document["id"].as_u64()?).ok()?;
        let text = document.to_string();
        let mut known = hold(&self.known);
        if let Some(document) = known.get(&text) {
            return Some((key, Arc::clone(document)));
        }
        let plain = Arc::new(plain(document));
        known.insert(text, Arc::clone(&plain));
        Some((key, plain))
    }

    /// Forgets what readers saw; the round has been judged.
    pub fn forget(&self) {
        self.seen().clear();
        hold(&self.known).clear();
    }
}

/// A document's fields as text, without its id and without what Miroir adds.
#[must_use]
pub fn plain(document: &Value) -> Document {
    let fields = document.as_object().into_iter().flatten();
    let own = fields.filter(|(name, _)| *name != "id" && *name != miroir_core::tag::TAG_FIELD && *name != "_vectors");
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    own.map(|(name, value)| (name.clone(), text(value))).collect::<BTreeMap<_, _>>()
}
