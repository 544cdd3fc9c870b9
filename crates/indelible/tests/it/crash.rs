//! kill -9 under load, many times: every acknowledged receipt still verifies.

use crate::{Process, event};
use indelible_client::{AppendOptions, LogClient, VerifiedReceipt};
use indelible_log::DataDir;
use indelible_tlog::{OfflineProof, VerifyingKey};
use indelible_verify::verify_store;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const ROUNDS: u64 = 50;
const CLIENTS: u64 = 4;

/// Not reproducible on purpose: when a process dies is not ours to choose.
#[expect(clippy::disallowed_methods, reason = "chance, not time, is wanted")]
fn random_below(limit: u64) -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    (u64::from(nanos).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % limit
}

struct Acknowledged {
    id: String,
    index: u64,
    leaf_hash: String,
    proof: OfflineProof,
}

async fn append_until_it_dies(
    log: LogClient,
    prefix: String,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
) {
    for n in 0.. {
        let ids: Vec<String> = (0..=n % 20).map(|k| format!("{prefix}-{n}-{k}")).collect();
        let events: Vec<String> = ids.iter().map(|id| event(id)).collect();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        let options = AppendOptions { proof: true, ..AppendOptions::default() };
        let Ok(answers) = log.append(&events, &options).await else { return };
        let mut acknowledged = acknowledged.lock().unwrap();
        for VerifiedReceipt { receipt, proof } in answers.into_iter().map(Result::unwrap) {
            acknowledged.push(Acknowledged {
                id: receipt.id,
                index: receipt.index,
                leaf_hash: receipt.leaf_hash,
                proof: proof.unwrap(),
            });
        }
    }
}

/// Every record acknowledged from `from` on is where its receipt says.
async fn check_records(log: &LogClient, acknowledged: &[Acknowledged], from: u64) {
    let mut found = std::collections::HashMap::new();
    let mut after = from.checked_sub(1);
    loop {
        let page = log.events(after, 1000, false, 0).await.unwrap();
        for view in page.items {
            after = Some(view.index);
            found.insert(view.index, (view.envelope.unwrap().id, view.leaf_hash));
        }
        if page.next.is_none() {
            break;
        }
    }
    for receipt in acknowledged.iter().filter(|receipt| receipt.index >= from) {
        let (id, leaf_hash) =
            found.get(&receipt.index).unwrap_or_else(|| panic!("record {} is lost", receipt.index));
        assert_eq!((id, leaf_hash), (&receipt.id, &receipt.leaf_hash), "record {}", receipt.index);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_receipt_survives_kill_nine() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Process::serve(&data);
    server.ok(&["log", "create", "prod"]);
    let key: VerifyingKey = server.ok(&["key", "show", "prod"]).trim().parse().unwrap();
    server.kill();
    let acknowledged: Arc<Mutex<Vec<Acknowledged>>> = Arc::default();
    let mut held = None;
    for round in 0..ROUNDS {
        let server = Process::serve(&data);
        let log = server.client().log("prod", Some(key.clone())).await.unwrap();
        // The restarted server continues the checkpoint of the one that was killed.
        let (checkpoint, note) = log.advance(held.as_ref()).await.unwrap();
        let before = acknowledged.lock().unwrap().len();
        let tasks: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (log, acknowledged) = (log.clone(), Arc::clone(&acknowledged));
                tokio::spawn(append_until_it_dies(log, format!("r{round}-c{client}"), acknowledged))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(10 + random_below(150))).await;
        server.kill();
        for task in tasks {
            task.await.unwrap();
        }
        let server = Process::serve(&data);
        let log = server.client().log("prod", Some(key.clone())).await.unwrap();
        let all = std::mem::take(&mut *acknowledged.lock().unwrap());
        check_records(&log, &all[before..], checkpoint.size).await;
        *acknowledged.lock().unwrap() = all;
        held = Some(log.advance(Some(&checkpoint)).await.unwrap().0);
        assert!(!note.is_empty());
        server.kill();
    }
    let all = std::mem::take(&mut *acknowledged.lock().unwrap());
    assert!(all.len() as u64 > ROUNDS, "{} receipts", all.len());
    // Every receipt ever given, offline, against the record that is there now.
    let server = Process::serve(&data);
    let log = server.client().log("prod", Some(key.clone())).await.unwrap();
    check_records(&log, &all, 0).await;
    for receipt in &all {
        receipt.proof.verify_leaf(&receipt.leaf_hash.parse().unwrap(), &key).unwrap();
    }
    server.kill();
    let store = DataDir::open(&data).unwrap().store("prod").unwrap();
    let verdict = verify_store(store.as_ref(), &key, None, &|_, _| {});
    assert_eq!(verdict.findings, []);
    assert!(verdict.coverage.records >= all.len() as u64);
}
