//! Which logs and keys `_control` tells of: as much of its fold as concerns what is stored.

use indelible_event::{Envelope, Payload};
use indelible_log::{
    LogError,
    stored::{self, BUNDLES_PER_SEGMENT, Found, Segment},
};
use indelible_store::Store;
use indelible_tlog::{BundleEntries, VerifyingKey};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The keys of each log, in the order in which they came into use.
pub(super) type Told = BTreeMap<String, Vec<VerifyingKey>>;

#[derive(Deserialize)]
struct Event {
    control: Change,
}

/// A change, of which most do not matter here.
#[derive(Deserialize)]
struct Change {
    #[serde(rename = "type")]
    kind: String,
    log: Option<String>,
    vkey: Option<String>,
    id: Option<String>,
    change: Option<Box<Change>>,
}

#[derive(Default)]
struct Fold {
    told: Told,
    /// What waits for a second person, by its id.
    proposed: BTreeMap<String, Change>,
}

impl Fold {
    fn apply(&mut self, change: Change) {
        let key = change.vkey.as_deref().and_then(|key| key.parse().ok());
        match (change.kind.as_str(), change.log, key, change.id) {
            ("log_created", Some(log), Some(key), _) => {
                self.told.entry(log).or_insert_with(|| vec![key]);
            }
            ("key_replaced", Some(log), Some(key), _) => {
                if let Some(keys) = self.told.get_mut(&log).filter(|keys| !keys.contains(&key)) {
                    keys.push(key);
                }
            }
            ("act_proposed", .., Some(id)) => {
                if let Some(change) = change.change {
                    self.proposed.insert(id, *change);
                }
            }
            ("act_approved", .., Some(id)) => {
                if let Some(change) = self.proposed.remove(&id) {
                    self.apply(change);
                }
            }
            _ => {}
        }
    }

    fn read(&mut self, record: &[u8]) {
        let payload = Envelope::parse(record).and_then(|envelope| envelope.payload());
        if let Ok(Payload::Inline(data)) = payload
            && let Ok(event) = serde_json::from_str::<Event>(data)
        {
            self.apply(event.control);
        }
    }
}

/// Folds `_control`, whose records were verified.
pub(super) fn fold(store: &dyn Store) -> Result<Told, LogError> {
    let mut fold = Fold::default();
    let (mut next, mut number) = (0, 0);
    loop {
        match Segment::open(store, number) {
            Ok(segment) => {
                for bundle in 0..BUNDLES_PER_SEGMENT {
                    let raw = segment.bundle(bundle)?;
                    BundleEntries::new(&raw).filter_map(Result::ok).for_each(|record| {
                        fold.read(record);
                        next += 1;
                    });
                }
            }
            Err(LogError::Store(indelible_store::StoreError::NotFound { .. })) => break,
            Err(error) => return Err(error),
        }
        number += 1;
    }
    for path in stored::journals(store)? {
        let Ok(journal) = store.open(&path) else { continue };
        let mut at = 0;
        while let Found::Commit(commit) = stored::commit_at(journal.as_ref(), at)? {
            let entries = BundleEntries::new(&commit.records).filter_map(Result::ok);
            for (record, index) in entries.zip(commit.first..) {
                if index >= next {
                    fold.read(record);
                    next = index + 1;
                }
            }
            at = commit.next_at;
        }
    }
    Ok(fold.told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indelible_tlog::SigningKey;

    fn key(n: u8) -> VerifyingKey {
        SigningKey::from_seed("s/prod", &[n; 32]).unwrap().verifying_key().clone()
    }

    fn change(text: &str) -> Change {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_was_made_or_approved_counts_and_what_was_proposed_does_not() {
        let mut fold = Fold::default();
        let replaced = |n| format!(r#"{{"type":"key_replaced","log":"prod","vkey":"{}"}}"#, key(n));
        let created = format!(r#"{{"type":"log_created","log":"prod","vkey":"{}"}}"#, key(1));
        fold.apply(change(&created));
        fold.apply(change(&replaced(2)));
        for (id, n) in [("act-1", 3), ("act-2", 4)] {
            let change_ = replaced(n);
            fold.apply(change(&format!(
                r#"{{"type":"act_proposed","id":"{id}","act":"replace_key","change":{change_}}}"#
            )));
        }
        fold.apply(change(r#"{"type":"act_approved","id":"act-2"}"#));
        fold.apply(change(r#"{"type":"token_revoked","token":"t"}"#));
        assert_eq!(fold.told["prod"], [key(1), key(2), key(4)]);
    }
}
