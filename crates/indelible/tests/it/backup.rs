//! Backups under load, with kills; what is restored holds and goes on.

use crate::{Process, event, indelible, text};
use indelible_client::AppendOptions;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

fn run(arguments: &[&str], paths: &[&Path]) -> Output {
    indelible().args(arguments).args(paths).output().unwrap()
}

#[track_caller]
fn ok(arguments: &[&str], paths: &[&Path]) -> String {
    let output = run(arguments, paths);
    assert!(
        output.status.success(),
        "{arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[track_caller]
fn refused(arguments: &[&str], paths: &[&Path], said: &str) {
    let output = run(arguments, paths);
    let stderr = text(&output.stderr);
    assert!(!output.status.success() && stderr.contains(said), "{arguments:?}: {stderr}");
}

/// Appends batches until told to stop; counts what was acknowledged.
async fn load(server: &Process, prefix: &str, stop: Arc<AtomicBool>, acknowledged: Arc<AtomicU64>) {
    let log = server.client().log("prod", None).await.unwrap();
    let big = "x".repeat(70_000);
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let mut events: Vec<String> =
            (0..50).map(|k| event(&format!("{prefix}-{n}-{k}"))).collect();
        // One in a while is an attachment.
        if n % 5 == 0 {
            let more = format!(r#","metadata":{{"big":"{big}"}}}}"#);
            let short = event(&format!("{prefix}-{n}-big"));
            events.push(format!("{}{more}", &short[..short.len() - 1]));
        }
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        log.append(&events, &AppendOptions::default()).await.unwrap();
        acknowledged.fetch_add(events.len() as u64, Ordering::SeqCst);
    }
}

/// Modes below a folder that let others in.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in crate::files(folder) {
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        if mode & 0o077 != 0 {
            found.push(format!("{} {mode:o}", path.display()));
        }
        if path.is_dir() {
            found.extend(open_to_others(&path));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_with_kills_is_restored_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (data, target, again) = (here.join("data"), here.join("backup"), here.join("again"));
    let server = Arc::new(Process::serve(&data));
    server.ok(&["log", "create", "prod"]);
    let (stop, acknowledged): (Arc<AtomicBool>, Arc<AtomicU64>) = Default::default();
    let loading = tokio::spawn({
        let (server, stop, acknowledged) =
            (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&acknowledged));
        async move { load(&server, "a", stop, acknowledged).await }
    });
    let copying = tokio::task::spawn_blocking({
        let (data, target) = (data.clone(), target.clone());
        move || {
            let mut killed = 0;
            for round in 0..12_u64 {
                // Killed in the middle, at another place each time.
                let mut child = indelible()
                    .args(["backup", "--with-keys"])
                    .args([&data, &target])
                    .stdout(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .spawn()
                    .unwrap();
                std::thread::sleep(Duration::from_millis(3 + round * 7));
                if child.try_wait().unwrap().is_none() {
                    child.kill().unwrap();
                    killed += 1;
                }
                child.wait().unwrap();
            }
            assert!(killed > 0);
        }
    });
    copying.await.unwrap();
    // Whatever a kill left: it says so, or it is whole.
    let said = fs::read_to_string(target.join("backup.json")).unwrap_or_default();
    if said.contains("\"complete\": false") {
        refused(&["restore"], &[&target, &again], "did not come to its end");
    }
    let before = acknowledged.load(Ordering::SeqCst);
    let first = ok(&["backup", "--with-keys", "--json"], &[&data, &target]);
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    stop.store(true, Ordering::Relaxed);
    loading.await.unwrap();
    assert!(before > 100, "{before}");
    assert!(first["records"].as_u64().unwrap() >= before, "{first} {before}");
    // Then only what is new.
    ok(&["backup"], &[&data, &target]);
    let last = ok(&["backup", "--json"], &[&data, &target]);
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    let attachments = |dir: &Path| crate::files(&dir.join("logs/prod/attachments")).len();
    assert_eq!(attachments(&target.join("data")), attachments(&data));
    assert!(last["files"].as_u64().unwrap() <= 3, "{last}");
    let size = acknowledged.load(Ordering::SeqCst);
    Arc::into_inner(server).unwrap().kill();

    let said = ok(&["restore"], &[&target, &again]);
    assert!(said.contains("restored and verified"), "{said}");
    assert_eq!(open_to_others(&again), [""; 0]);
    refused(&["restore"], &[&target, &again], "not empty");
    for extension in [".token", ".operator"] {
        let (from, to) = (crate::beside(&data, extension), crate::beside(&again, extension));
        fs::copy(from, to).unwrap();
    }
    let server = Process::serve(&again);
    let log = server.client().log("prod", None).await.unwrap();
    assert_eq!(log.advance(None).await.unwrap().0.size, size);
    // Everything that was acknowledged is there: again it is a duplicate.
    let events: Vec<String> = (0..50).map(|k| event(&format!("a-0-{k}"))).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    for receipt in log.append(&events, &AppendOptions::default()).await.unwrap() {
        assert_eq!(receipt.unwrap().receipt.status, indelible_api::ReceiptStatus::Duplicate);
    }
    log.append(&[&event("new")], &AppendOptions::default()).await.unwrap();
    assert_eq!(log.advance(None).await.unwrap().0.size, size + 1);
    server.kill();
    // The restored one has gone on; the old one would take that from its backup.
    ok(&["backup"], &[&again, &target]);
    refused(&["backup"], &[&data, &target], "older copy");
}

#[test]
fn what_is_not_sound_is_not_backed_up_nor_restored() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (data, target, again) = (here.join("data"), here.join("backup"), here.join("again"));
    let server = Process::serve(&data);
    server.ok(&["log", "create", "prod"]);
    let file = here.join("events");
    fs::write(&file, event("a")).unwrap();
    server.ok(&["append", "prod", &file.display().to_string()]);
    // Another folder's, another site's, inside of itself.
    let other = here.join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("something"), b"").unwrap();
    refused(&["backup"], &[&data, &other], "not empty");
    refused(&["backup"], &[&data, &data.join("inside")], "inside");
    ok(&["backup"], &[&data, &target]);
    let stranger = here.join("stranger");
    let output = indelible()
        .args(["serve", "--listen", "127.0.0.1:0", "--site", "other.example", "--data"])
        .arg(&stranger)
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut started = output.unwrap();
    let began = Instant::now();
    while !stranger.join("logs/_access/log").exists() {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    started.kill().unwrap();
    started.wait().unwrap();
    refused(&["backup"], &[&stranger, &target], "choose another target");
    // Without keys it can be read and verified; a server says what is missing.
    let said = ok(&["restore"], &[&target, &again]);
    assert!(said.contains("without secret keys"), "{said}");
    assert!(!again.join("logs/prod/key").exists());
    let refused_start = run(&["serve", "--listen", "127.0.0.1:0", "--data"], &[&again]);
    assert!(!refused_start.status.success());
    assert!(text(&refused_start.stderr).contains("key"), "{}", text(&refused_start.stderr));
    // A byte of the backup: it is found, and nothing gets its place.
    let journal = crate::files(&target.join("data/logs/prod/journal")).remove(0);
    let mut bytes = fs::read(&journal).unwrap();
    bytes[100] ^= 1;
    fs::write(&journal, bytes).unwrap();
    let third = here.join("third");
    refused(&["restore"], &[&target, &third], "does not hold");
    assert!(!third.join("site").exists() && !third.join("logs").exists());
    // The next run mends it.
    ok(&["backup"], &[&data, &target]);
    ok(&["restore"], &[&target, &here.join("fourth")]);
    server.kill();
}

#[test]
fn the_status_is_one_screen_and_its_exit_says_whether_all_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(&folder.path().join("data"));
    server.ok(&["log", "create", "prod"]);
    let began = Instant::now();
    let said = loop {
        let said = server.ok(&["status"]);
        if said.contains("disk") {
            break said;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{said}");
        std::thread::sleep(Duration::from_millis(50));
    };
    for word in ["test.example", "well", "prod", "_control", "clock", "scrub", "not through yet"] {
        assert!(said.contains(word), "{word} is not in\n{said}");
    }
    assert!(said.lines().count() <= 24, "{said}");
    let json: serde_json::Value = serde_json::from_str(&server.ok(&["status", "--json"])).unwrap();
    assert_eq!(json["ready"], true, "{json}");
    assert_eq!(json["failures"], serde_json::json!([]), "{json}");
    server.kill();
}
