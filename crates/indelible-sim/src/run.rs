//! Driving a log over the simulated disk, and checking what it promised.

use crate::{Fault, Mode, Random, SimDisk};
use indelible_event::{NATIVE, Payload, RecordHeader, Timestamp};
use indelible_log::{
    AppendError, Batch, Clock, Committed, Head, Kind, Options, Placed, Stepper, chain,
};
use indelible_tlog::{SigningKey, VerifyingKey};
use indelible_verify::verify_store;
use std::sync::Arc;

const ORIGIN: &str = "sim.example/log";
const SEED_KEY: [u8; 32] = [42; 32];
/// One in so many calls of a trying start fails or cuts the power.
const TRYING: u64 = 3;

/// The simulation's time stands still.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now_us(&self) -> i64 {
        1_772_366_400_000_000
    }
}

fn options() -> Options {
    Options { journal_capacity: (8 << 10, 256 << 10), clock: Arc::new(Still), ..Options::default() }
}

fn key() -> VerifyingKey {
    match SigningKey::from_seed(ORIGIN, &SEED_KEY) {
        Ok(key) => key.verifying_key().clone(),
        Err(error) => panic!("the simulation's key: {error}"),
    }
}

/// What a run did, for comparing runs and for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Digest of every call to the disk.
    pub trace: u64,
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Restarts.
    pub restarts: u64,
    /// Segments sealed.
    pub sealed: u64,
}

/// What was promised.
#[derive(Debug, Default)]
struct Promises {
    /// Bytes of each acknowledged record; `None` where only an unacknowledged batch
    /// may have put one.
    records: Vec<Option<Vec<u8>>>,
    /// The newest head that was answered.
    head: Option<Arc<Head>>,
    /// Batches that were refused or cut off: each must be there wholly or not at all.
    unsure: Vec<Vec<Vec<u8>>>,
}

impl Promises {
    fn acknowledge(&mut self, committed: &Committed) {
        for (position, placed) in committed.placed.iter().enumerate() {
            if let Placed::Created(index) = placed {
                let index = *index as usize;
                if self.records.len() <= index {
                    self.records.resize(index + 1, None);
                }
                self.records[index] = Some(committed.batch.record(position).to_vec());
            }
        }
        if self.head.as_ref().is_none_or(|head| head.size <= committed.head.size) {
            self.head = Some(Arc::clone(&committed.head));
        }
    }
}

/// Checks a log that was just opened against what was promised.
///
/// # Panics
/// When a promise is broken.
fn check(disk: &SimDisk, log: &Stepper, promises: &Promises) {
    let size = log.head().size;
    let held = promises.head.as_ref().map(|head| head.note.to_string());
    if let Some(head) = &promises.head {
        assert!(size >= head.size, "rolled back from {} to {size} records", head.size);
    }
    for (index, promised) in promises.records.iter().enumerate() {
        if let Some(promised) = promised {
            let found =
                log.record(index as u64).unwrap_or_else(|e| panic!("record {index} is lost: {e}"));
            assert_eq!(&found, promised, "record {index} changed");
        }
    }
    // A batch is one frame: of its records the first is there if and only if the last is.
    let first_unknown = promises.head.as_ref().map_or(0, |head| head.size);
    let extra: Vec<Vec<u8>> =
        (first_unknown..size).filter_map(|index| log.record(index).ok()).collect();
    for batch in &promises.unsure {
        let present = batch.iter().filter(|record| extra.contains(record)).count();
        assert!(
            present == 0 || present == batch.len(),
            "{present} of {} records of a batch",
            batch.len()
        );
    }
    let verdict = verify_store(disk, &key(), held.as_deref(), &|_, _| {});
    assert_eq!(verdict.findings, [], "the log does not verify");
    assert_eq!(verdict.coverage.records, size);
}

/// Restarts until the log opens, and checks it.
fn restart(disk: &SimDisk, promises: &mut Promises) -> Stepper {
    restart_on(disk, promises, 0)
}

/// The same; the first `trying` starts meet a fault at about every third call, so that a
/// start meets what one that failed left, again and again.
fn restart_on(disk: &SimDisk, promises: &mut Promises, trying: u64) -> Stepper {
    let usual = disk.chance();
    for start in 0..100 {
        disk.restart();
        disk.misbehave(if start < trying { TRYING } else { usual });
        match Stepper::open(Arc::new(disk.clone()), &options()) {
            Ok(log) => {
                disk.misbehave(usual);
                if disk.is_powered() {
                    // Checking reads only; it must not meet faults of its own.
                    check(disk, &log, promises);
                    // What recovery found is the log from now on.
                    let size = log.head().size as usize;
                    let known = promises.records.len();
                    promises
                        .records
                        .extend((known..size).map(|index| log.record(index as u64).ok()));
                    promises.head = Some(log.head());
                    promises.unsure.clear();
                    return log;
                }
            }
            Err(error) if is_simulated(&error) => {}
            Err(error) => panic!("the log does not open: {}", chain(&error)),
        }
    }
    panic!("the log does not open in a hundred tries");
}

fn is_simulated(error: &dyn std::error::Error) -> bool {
    let text = chain(error);
    text.contains("simulated fault")
        || text.contains(&std::io::Error::from(std::io::ErrorKind::StorageFull).to_string())
}

fn batch(random: &mut Random, next_id: &mut u64, records: u64) -> Batch {
    let header = RecordHeader::new(Timestamp::from_micros(0), "sim", NATIVE);
    let mut batch = Batch::new();
    for _ in 0..records {
        *next_id += 1;
        let data =
            format!("{{\"n\":{next_id},\"pad\":\"{}\"}}", "x".repeat(random.below(700) as usize));
        if let Err(error) =
            batch.push_event(&header, &format!("id-{next_id}"), true, Payload::Inline(&data))
        {
            panic!("a small batch has room: {error}");
        }
    }
    batch
}

fn commit(log: &mut Stepper, batches: Vec<Batch>, promises: &mut Promises) -> bool {
    let records: Vec<Vec<Vec<u8>>> = batches
        .iter()
        .map(|batch| (0..batch.len()).map(|n| batch.record(n).to_vec()).collect())
        .collect();
    let mut going = true;
    for (answer, records) in log.commit(batches).into_iter().zip(records) {
        match answer {
            Ok(committed) => promises.acknowledge(&committed),
            Err(AppendError::Full(_)) => {}
            Err(_) => {
                promises.unsure.push(records);
                going = false;
            }
        }
    }
    going
}

/// Creates a log on a disk that behaves.
fn create(disk: &SimDisk) {
    if let Err(error) = Stepper::create(disk, ORIGIN, Kind::Events, &options(), &SEED_KEY) {
        panic!("a log is created on a sound disk: {error}");
    }
}

/// Runs one seed: random appends, seals and restarts over a disk that misbehaves.
///
/// # Panics
/// When a promise is broken; the seed reproduces it.
#[must_use]
pub fn run_seed(seed: u64) -> Outcome {
    let mut random = Random::new(seed ^ 0x5eed);
    let disk = SimDisk::new(seed);
    create(&disk);
    let mut promises = Promises::default();
    let mut outcome = Outcome { trace: 0, acknowledged: 0, restarts: 0, sealed: 0 };
    let mut log = restart(&disk, &mut promises);
    let mut next_id = 0;
    // One seed in eight grows past a segment, so that seals meet faults too.
    let large = seed.is_multiple_of(8);
    disk.misbehave(if large { 40 } else { 12 });
    for step in 0..if large { 30 } else { 60 } {
        let mut going = true;
        if large && step % 3 == 0 {
            disk.misbehave(0);
            going = commit(&mut log, vec![tiny_batch(&mut next_id, 8000)], &mut promises);
            disk.misbehave(40);
        }
        let count = 1 + random.below(3);
        let mut batches: Vec<Batch> = (0..count)
            .map(|_| {
                let records = 1 + random.below(5);
                batch(&mut random, &mut next_id, records)
            })
            .collect();
        if random.one_in(3) {
            batches.extend(attached(&log, &mut random, &mut next_id));
        }
        going &= commit(&mut log, batches, &mut promises);
        match log.seal() {
            Ok(true) => outcome.sealed += 1,
            Ok(false) => {}
            Err(_) => going = false,
        }
        if !going || !disk.is_powered() || random.one_in(10) {
            drop(log);
            outcome.restarts += 1;
            let trying = if random.one_in(3) { random.below(4) } else { 0 };
            log = restart_on(&disk, &mut promises, trying);
        }
    }
    disk.misbehave(0);
    drop(log);
    let log = restart(&disk, &mut promises);
    outcome.acknowledged = log.head().size;
    outcome.trace = disk.trace();
    outcome
}

/// A record that names an attachment, of which others may know already. Storing it is
/// tried again when it fails, as a sender does.
fn attached(log: &Stepper, random: &mut Random, next_id: &mut u64) -> Option<Batch> {
    let data = format!("{{\"attachment\":{}}}", random.below(8));
    let stored = (0..3).find_map(|_| log.attach(data.as_bytes()).ok())?;
    let header = RecordHeader::new(Timestamp::from_micros(0), "sim", NATIVE);
    let mut batch = Batch::new();
    *next_id += 1;
    let pushed =
        batch.push_event(&header, &format!("id-{next_id}"), true, Payload::Attachment(stored));
    if let Err(error) = pushed {
        panic!("a batch of one has room: {error}");
    }
    Some(batch)
}

fn tiny_batch(next_id: &mut u64, records: u64) -> Batch {
    let header = RecordHeader::new(Timestamp::from_micros(0), "sim", NATIVE);
    let mut batch = Batch::new();
    for _ in 0..records {
        *next_id += 1;
        if let Err(error) =
            batch.push_event(&header, &format!("id-{next_id}"), false, Payload::Inline("{}"))
        {
            panic!("a batch of small records has room: {error}");
        }
    }
    batch
}

/// One row of the fault table: a fixed script with one planned fault, then a restart.
/// Returns the number of calls the script makes, which is how many rows there are.
///
/// # Panics
/// When a promise is broken.
#[must_use]
pub fn run_with_fault(fault: Option<Fault>, with_seal: bool) -> u64 {
    let disk = SimDisk::new(fault.map_or(0, |fault| fault.at * 31 + fault.mode as u64));
    create(&disk);
    let mut promises = Promises::default();
    let mut log = restart(&disk, &mut promises);
    let mut random = Random::new(7);
    let mut next_id = 0;
    if with_seal {
        for _ in 0..8 {
            assert!(commit(&mut log, vec![tiny_batch(&mut next_id, 8190)], &mut promises));
        }
    }
    let before = disk.calls();
    disk.plan(fault.map(|fault| Fault { at: before + fault.at, ..fault }));
    let mut going = true;
    for _ in 0..6 {
        let records = 1 + random.below(6);
        going &= commit(&mut log, vec![batch(&mut random, &mut next_id, records)], &mut promises);
    }
    if with_seal {
        let more = vec![tiny_batch(&mut next_id, 100)];
        going &= commit(&mut log, more, &mut promises);
        // A seal that failed is tried again; the journals still hold the records.
        let sealed = log.seal();
        assert!(sealed.is_ok() || fault.is_some());
        drop(log.seal());
    }
    let calls = disk.calls() - before;
    // After a failed sync nothing more is accepted: what is unknown stays unknown.
    if !going && disk.is_powered() {
        let again = commit(&mut log, vec![batch(&mut random, &mut next_id, 1)], &mut promises);
        assert!(!again, "a log that stopped accepts nothing");
    }
    drop(log);
    disk.plan(None);
    let mut log = restart(&disk, &mut promises);
    assert!(
        commit(&mut log, vec![batch(&mut random, &mut next_id, 2)], &mut promises),
        "the log goes on after a restart"
    );
    drop(log);
    drop(restart(&disk, &mut promises));
    calls
}

/// A clean stop and start of an empty log.
///
/// # Panics
/// When it does not open.
pub fn check_restart() {
    let disk = SimDisk::new(1);
    create(&disk);
    let mut promises = Promises::default();
    drop(restart(&disk, &mut promises));
    drop(restart(&disk, &mut promises));
}

/// A frame is written, its sync fails, and the process starts again over what the
/// system's memory still shows. What is shown then must outlive a power cut.
///
/// # Panics
/// When a promise is broken.
pub fn show_only_what_is_durable(seed: u64) {
    let disk = SimDisk::new(seed);
    create(&disk);
    let mut promises = Promises::default();
    let mut log = restart(&disk, &mut promises);
    let (mut random, mut next_id) = (Random::new(seed), 0);
    assert!(commit(&mut log, vec![batch(&mut random, &mut next_id, 3)], &mut promises));
    // The next frame may go to this journal: a write and a sync.
    disk.plan(Some(Fault { at: disk.calls() + 1, mode: Mode::NotPersisted }));
    commit(&mut log, vec![batch(&mut random, &mut next_id, 3)], &mut promises);
    disk.plan(None);
    for _ in 0..3 {
        drop(log);
        log = restart(&disk, &mut promises);
        // Sent again, what is there already is acknowledged without a write.
        let mut again = 0;
        let records = promises.records.iter().flatten().count() as u64;
        commit(&mut log, vec![batch(&mut Random::new(seed), &mut again, 3)], &mut promises);
        assert_eq!(log.head().size, records, "three records were there already");
        commit(&mut log, vec![batch(&mut random, &mut next_id, 40)], &mut promises);
    }
}

/// A frame is written in part, and the start that cuts it off fails at its `at`-th call.
/// What the next start takes for zeros must be zeros after a power cut too. Returns
/// whether the start failed.
///
/// # Panics
/// When a promise is broken.
#[must_use]
pub fn cut_for_good(seed: u64, at: u64) -> bool {
    let disk = SimDisk::new(seed);
    create(&disk);
    let mut promises = Promises::default();
    let mut log = restart(&disk, &mut promises);
    let (mut random, mut next_id) = (Random::new(seed), 0);
    assert!(commit(&mut log, vec![batch(&mut random, &mut next_id, 1)], &mut promises));
    disk.plan(Some(Fault { at: disk.calls(), mode: Mode::Torn }));
    commit(&mut log, vec![batch(&mut random, &mut next_id, 5)], &mut promises);
    drop(log);
    disk.power_cycle();
    disk.plan(Some(Fault { at: disk.calls() + at, mode: Mode::NotPersisted }));
    let failed = Stepper::open(Arc::new(disk.clone()), &options()).is_err();
    disk.plan(None);
    // The process starts again while the system's memory is as it was.
    disk.end_process();
    match Stepper::open(Arc::new(disk.clone()), &options()) {
        Ok(mut log) => {
            // A short frame, and one that goes to another journal.
            commit(&mut log, vec![batch(&mut random, &mut next_id, 1)], &mut promises);
            commit(&mut log, vec![batch(&mut random, &mut next_id, 40)], &mut promises);
        }
        Err(error) => panic!("the log does not open: {}", chain(&error)),
    }
    disk.power_cycle();
    drop(restart(&disk, &mut promises));
    failed
}

/// All modes, in the order of the fault table.
impl Mode {
    /// Every way a call goes wrong.
    pub const ALL: [Self; 8] = [
        Self::NotPersisted,
        Self::PersistedButFailed,
        Self::Torn,
        Self::Full,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::CrashTorn,
        Self::Delayed,
    ];
}
