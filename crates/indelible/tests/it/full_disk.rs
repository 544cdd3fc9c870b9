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
    let count = || {
        let said = server.ok(&["search", "prod", "--count", "--json"]);
        serde_json::from_str::<Value>(&said).unwrap()["count"].clone()
    };
    assert_eq!(count(), 300);
    is_full("index/");
    append(300, 400);
    // The index notices when it tries.
    let started = Instant::now();
    let said = loop {
        let output = server.run(&["search", "prod", "actor:ada", "-n", "1", "--no-wait"]);
        // An answer that is not whole is told by the exit code too.
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        if said.contains("does not go on") {
            break said;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{said}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(said.contains("300") && said.contains("400"), "{said}");
    // What cannot be waited for is not: the answer says so at once, in every form.
    for (arguments, says) in [
        (&["--count"][..], "300\n"),
        (&["--facet", "actor"], "ada"),
        (&["--histogram", "1d"], "300"),
        (&["-n", "1"], "ada"),
    ] {
        let started = Instant::now();
        let output = server.run(&[&["search", "prod"], arguments].concat());
        assert!(started.elapsed() < Duration::from_secs(8), "{arguments:?}");
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(text(&output.stderr).contains("searched 300 of 400"), "{arguments:?}");
        assert!(text(&output.stdout).contains(says), "{arguments:?} {}", text(&output.stdout));
        let several = server.run(&[&["search", "prod,_access"], arguments].concat());
        assert_eq!(several.status.code(), Some(3), "{arguments:?}");
        let json = server.run(&[&["search", "prod", "--json"], arguments].concat());
        let told = text(&json.stdout);
        assert!(told.contains("\"whole\":false") || told.contains("\"whole\": false"), "{told}");
        assert_eq!(json.status.code(), Some(3), "{arguments:?}");
    }
    let export = here.join("all.ndjson").display().to_string();
    let refused = server.run(&["export", "prod", "-o", &export]);
    assert!(text(&refused.stderr).contains("does not go on"), "{}", text(&refused.stderr));
    append(400, 500);
    is_full("exports/");
    // The index tries again by itself.
    let started = Instant::now();
    while server.run(&["search", "prod", "--count"]).status.code() != Some(0) {
        assert!(started.elapsed() < Duration::from_secs(60));
    }
    assert_eq!(count(), 500);
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
    assert_eq!(count(), 600);
    assert!(server.ok(&["export", "prod", "-o", &export]).contains("exported 600 events"));
}
