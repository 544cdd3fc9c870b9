//! A disk that is full for everything but the logs: what is derived stands still and says
//! so, appends go on, and all of it goes on by itself when there is room again.

use crate::{Process, event, text};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// Builds the library that makes writes fail.
fn shim(folder: &Path) -> std::path::PathBuf {
    let source = folder.join("full_disk.c");
    let library = folder.join("full_disk.so");
    fs::write(&source, include_str!("full_disk.c")).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let built = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    library
}

#[test]
fn a_full_disk_stops_the_index_and_exports_and_not_the_log() {
    let folder = tempfile::tempdir().unwrap();
    // The shim compares paths as the system names them.
    let here = fs::canonicalize(folder.path()).unwrap();
    let (data, full) = (here.join("data"), here.join("full"));
    let is_full = |folder: &str| {
        fs::write(here.join("next"), data.join(folder).display().to_string()).unwrap();
        fs::rename(here.join("next"), &full).unwrap();
    };
    let library = shim(&here);
    let variables = [("LD_PRELOAD", library.as_path()), ("FULL_DISK", &full)];
    let server = Process::serve_in(&data, &[], &variables);
    server.ok(&["log", "create", "prod"]);
    let append = |from: u64, to: u64| {
        let lines: Vec<String> = (from..to).map(|n| event(&format!("e{n}"))).collect();
        let file = here.join("events").display().to_string();
        fs::write(&file, lines.join("\n")).unwrap();
        server.ok(&["append", "prod", &file]);
    };
    append(0, 300);
    let count = |arguments: &[&str]| {
        let said = server.ok(&[&["search", "prod", "--count", "--json"], arguments].concat());
        serde_json::from_str::<Value>(&said).unwrap()["count"].clone()
    };
    assert_eq!(count(&["--head"]), 300);
    is_full("index/");
    append(300, 400);
    // The index notices when it tries.
    let started = Instant::now();
    let said = loop {
        let output = server.run(&["search", "prod", "actor:ada", "-n", "1"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        if said.contains("does not go on") {
            break said;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{said}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(said.contains("300") && said.contains("400"), "{said}");
    assert_eq!(count(&[]), 300);
    let export = here.join("all.ndjson").display().to_string();
    let refused = server.run(&["export", "prod", "-o", &export]);
    assert!(text(&refused.stderr).contains("does not go on"), "{}", text(&refused.stderr));
    append(400, 500);
    is_full("exports/");
    // `--head` waits until the index has tried again.
    assert_eq!(count(&["--head"]), 500);
    let refused = server.run(&["export", "prod", "-o", &export]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("too little space"), "{}", text(&refused.stderr));
    let left: Vec<_> = crate::files(&data.join("exports"))
        .into_iter()
        .filter(|folder| folder.join("file").exists())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    append(500, 600);
    fs::remove_file(&full).unwrap();
    assert_eq!(count(&["--head"]), 600);
    assert!(server.ok(&["export", "prod", "-o", &export]).contains("exported 600 events"));
}
