//! The README's commands run as they are printed, on the sample events.

use crate::{Process, text};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

/// The commands of the blocks of `text`, each with the lines that belong to it.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut found: Vec<String> = Vec::new();
    for block in blocks {
        let mut is_open = false;
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                found.push(command.to_owned());
            } else if let (true, Some(last)) = (is_open, found.last_mut()) {
                last.push('\n');
                last.push_str(line);
            } else {
                continue;
            }
            // A quote that is open goes on in the next line.
            let last = found.last().map_or("", String::as_str);
            is_open = last.split('#').next().unwrap_or("").matches('\'').count() % 2 == 1;
        }
    }
    found
}

#[test]
fn the_readme_runs_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let server = Process::serve(&folder.path().join("D"));
    std::os::unix::fs::symlink(
        root.join("examples").canonicalize().unwrap(),
        folder.path().join("examples"),
    )
    .unwrap();
    let address = server.url.trim_start_matches("http://");
    let mut script = "set -e -o pipefail\n".to_owned();
    let mut count = 0;
    for command in commands(&readme) {
        let first = command.split_whitespace().next().unwrap_or_default();
        // The server runs already, and there is no terminal to paste a token at.
        let is_done =
            command.starts_with("indelible serve") || command.starts_with("indelible login");
        if first == "cargo" || is_done {
            continue;
        }
        count += 1;
        let command = command.replace("127.0.0.1:7070", address);
        let shown = command.replace('\'', "");
        script.push_str(&format!("echo '+ {}' >&2\n", shown.lines().next().unwrap_or_default()));
        if command.contains(" -f ") {
            script.push_str(&format!("timeout 2 {command} || test $? = 124\n"));
        } else {
            script.push_str(&command);
            script.push('\n');
        }
    }
    assert!(count >= 18, "{script}");
    let binaries = Path::new(env!("CARGO_BIN_EXE_indelible")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let token = fs::read_to_string(&server.token_file).unwrap();
    let config = folder.path().join("config");
    let mut bash = Command::new("bash");
    bash.arg("-c")
        .arg(&script)
        .current_dir(folder.path())
        .env("PATH", path)
        .env("XDG_CONFIG_HOME", &config);
    bash.env("HOME", folder.path()).env("INDELIBLE_URL", &server.url).env_remove("INDELIBLE_TOKEN");
    // What `indelible login` would have stored.
    let store = config.join("indelible");
    fs::create_dir_all(&store).unwrap();
    let stored = serde_json::json!({ &server.url: token.trim() }).to_string();
    fs::write(store.join("tokens.json"), stored).unwrap();
    fs::set_permissions(store.join("tokens.json"), fs::Permissions::from_mode(0o600)).unwrap();
    let run = bash.output().unwrap();
    let (out, err) = (text(&run.stdout), text(&run.stderr));
    assert!(run.status.success(), "{out}\n{err}");
    assert!(out.contains("appended 12 events") && out.contains("\"status\":\"created\""), "{out}");
    assert!(out.contains("holds  13 records"), "{out}");
}
