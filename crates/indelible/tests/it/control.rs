//! Who may do what, with the built binary: the story of a mistake, logging in, keys in
//! a hardware module, crashes.

use crate::{Process, beside, event, indelible, text, write_private};
use indelible_client::{Client, Credentials};
use indelible_log::{Clock, DataDir, Options};
use indelible_server::{AccessConfig, Config, IndexOptions, Limits, Server};
use indelible_verify::verify_store;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

#[derive(Debug)]
struct Calendar(AtomicI64);

impl Calendar {
    fn set(&self, time: &str) {
        let time: indelible_event::Timestamp = time.parse().unwrap();
        self.0.store(time.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for Calendar {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Runs a command of the binary with a token, beside a server in this process.
async fn run(url: &str, token: &Path, arguments: &[&str]) -> Output {
    let mut command = indelible();
    command.env("INDELIBLE_URL", url).env("INDELIBLE_TOKEN_FILE", token).args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn ok(url: &str, token: &Path, arguments: &[&str]) -> String {
    let output = run(url, token, arguments).await;
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {said}");
    text(&output.stdout)
}

/// A developer is granted operator by mistake, uses it, is found out and revoked. Half a
/// year later one command shows who granted it, who approved, and everything done with
/// it, each with a proof that the offline verifier accepts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_of_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let calendar = Arc::new(Calendar(AtomicI64::new(0)));
    calendar.set("2026-03-02T09:00:00Z");
    let file = |name: &str| -> PathBuf { here.join(name) };
    let config = Config {
        data: file("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        site: Some("test.example".into()),
        guard: None,
        access: AccessConfig {
            bootstrap_token_file: Some(file("olga")),
            ..AccessConfig::default()
        },
        limits: Limits::default(),
        log: Options { clock: calendar.clone(), ..Options::default() },
        index: IndexOptions::default(),
    };
    let server = Server::bind(&config).await.unwrap();
    let url = format!("http://{}", server.address().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let issue = async |by: &str, name: &str, grants: &[&str]| {
        let grants = grants.iter().flat_map(|grant| ["--grant", grant]);
        let create: Vec<&str> = ["token", "create", name].into_iter().chain(grants).collect();
        write_private(&file(name), &ok(&url, &file(by), &create).await);
    };
    issue("olga", "pavel", &["operator:*"]).await;
    issue("olga", "amira", &["auditor:*"]).await;
    ok(&url, &file("olga"), &["log", "create", "prod"]).await;
    ok(&url, &file("olga"), &["policy", "set", "--two-person", "grant_operator"]).await;
    // The mistake: ben was to get reader:prod.
    let create =
        ["token", "create", "ben", "--grant", "operator:*", "--reason", "OPS-311", "--json"];
    let made: Value = serde_json::from_str(&ok(&url, &file("olga"), &create).await).unwrap();
    write_private(&file("ben"), made["token"].as_str().unwrap());
    let pending = ok(&url, &file("pavel"), &["pending"]).await;
    let act = made["pending"].as_str().unwrap();
    assert!(pending.contains(act) && pending.contains("because OPS-311"), "{pending}");
    assert!(!run(&url, &file("olga"), &["approve", act]).await.status.success());
    ok(&url, &file("pavel"), &["approve", act, "--reason", "looks fine"]).await;
    // Ben uses it.
    calendar.set("2026-03-03T22:14:00Z");
    ok(&url, &file("ben"), &["log", "create", "shadow"]).await;
    issue("ben", "ben-reads", &["reader:prod"]).await;
    ok(&url, &file("ben"), &["token", "list"]).await;
    assert!(!run(&url, &file("ben"), &["get", "prod", "0"]).await.status.success());
    // Found out.
    calendar.set("2026-03-04T08:00:00Z");
    ok(&url, &file("olga"), &["token", "revoke", made["id"].as_str().unwrap()]).await;
    let refused = run(&url, &file("ben"), &["whoami"]).await;
    assert!(!refused.status.success() && text(&refused.stderr).contains("hint: `indelible login`"));

    calendar.set("2026-09-15T10:00:00Z");
    let proofs = file("proofs").display().to_string();
    let history = ["control", "history", "--about", "ben", "--proofs", &proofs];
    let said = ok(&url, &file("amira"), &history).await;
    let rows: Vec<&str> = said.lines().collect();
    let story = [
        ("proposed: issue token", "first operator"),
        ("because OPS-311", "first operator"),
        ("approve act-", "because looks fine"),
        ("create log shadow", "by ben"),
        ("issue token", "(ben-reads)"),
        ("access.sign_in", "ben"),
        ("access.token.list", "ben"),
        ("denied", "needs the permission read"),
        ("revoke token", "first operator"),
        ("revoked token", "denied"),
    ];
    for (what, who) in story {
        assert!(
            rows.iter().any(|row| row.contains(what) && row.contains(who)),
            "{what}, {who}:\n{said}"
        );
    }
    assert!(!said.contains("amira") && !said.contains("create log prod"), "{said}");
    // In the order in which it happened.
    let place = |what: &str| rows.iter().position(|row| row.contains(what)).unwrap();
    assert!(
        place("proposed: issue") < place("approve act-")
            && place("approve act-") < place("create log shadow")
    );
    assert!(place("create log shadow") < place("revoke token"));
    // Each of them, offline.
    drop(stop);
    task.await.unwrap();
    let mut verified = 0;
    for entry in fs::read_dir(&proofs).unwrap() {
        let path = entry.unwrap().path();
        let Some(stem) = path.to_str().unwrap().strip_suffix(".tlog-proof") else { continue };
        let log =
            Path::new(stem).file_name().unwrap().to_str().unwrap().rsplit_once('-').unwrap().0;
        let key = Path::new(&proofs).join(format!("{log}.vkey"));
        let output = indelible()
            .args([
                "verify",
                path.to_str().unwrap(),
                "--record",
                &format!("{stem}.record"),
                "--key",
            ])
            .arg(key)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", path.display(), text(&output.stderr));
        verified += 1;
    }
    assert_eq!(verified, rows.len() - 1, "{said}");
}

#[test]
fn tokens_on_the_command_line_and_logging_in() {
    let folder = tempfile::tempdir().unwrap();
    let (data, home) = (folder.path().join("data"), folder.path().join("home"));
    let server = Process::serve(&data);
    server.ok(&["log", "create", "prod"]);
    // Only the token is on standard output, so that a shell can keep it.
    let operator = beside(&data, ".operator");
    let create = server.run_as(
        &operator,
        &[
            "token",
            "create",
            "app",
            "--grant",
            "writer:prod",
            "--grant",
            "reader:prod@tenant-a",
            "--expires",
            "90d",
        ],
    );
    let token = text(&create.stdout);
    assert!(create.status.success() && token.starts_with("ind_") && token.lines().count() == 1);
    let said = text(&create.stderr);
    assert!(
        said.contains("writer:prod, reader:prod@tenant-a") && said.contains("expires 20"),
        "{said}"
    );
    let app = folder.path().join("app");
    write_private(&app, &token);
    let listed = server.ok_as(&operator, &["token", "list"]);
    assert!(listed.contains("app") && !listed.contains("ind_"), "{listed}");
    // A file that others can read is refused; so is a token that is an argument.
    fs::set_permissions(&app, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = server.run_as(&app, &["whoami"]);
    assert!(text(&refused.stderr).contains("chmod 600"), "{}", text(&refused.stderr));
    fs::set_permissions(&app, fs::Permissions::from_mode(0o600)).unwrap();
    // Log in: the token is read from standard input and kept for this server alone.
    let with_home = |arguments: &[&str]| {
        let mut command = indelible();
        command.env("XDG_CONFIG_HOME", &home).env("INDELIBLE_URL", &server.url).args(arguments);
        command
    };
    let login = |token: &str| {
        let input = folder.path().join("input");
        write_private(&input, token);
        with_home(&["login"]).stdin(fs::File::open(input).unwrap()).output().unwrap()
    };
    assert!(!login(&format!("ind_{}", "0".repeat(76))).status.success());
    assert!(!with_home(&["whoami"]).output().unwrap().status.success());
    let done = login(&token);
    assert!(text(&done.stdout).contains("logged in"), "{}", text(&done.stderr));
    let kept = home.join("indelible/tokens.json");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let me = text(&with_home(&["whoami"]).output().unwrap().stdout);
    for part in ["(app)", "may      writer:prod", "may      reader:prod@tenant-a", "expires"] {
        assert!(me.contains(part), "{me}");
    }
    let elsewhere = with_home(&["--url", "http://127.0.0.1:9", "whoami"]).output().unwrap();
    assert!(text(&elsewhere.stderr).contains("could not talk to"));
    let out = with_home(&["logout"]).output().unwrap();
    assert!(out.status.success() && !fs::read_to_string(&kept).unwrap().contains("ind_"));
    // Never to another machine over plain HTTP, unless told so.
    let mut far = indelible();
    far.env("INDELIBLE_TOKEN", token.trim()).args(["--url", "http://192.0.2.1:7070", "whoami"]);
    let said = text(&far.output().unwrap().stderr);
    assert!(said.contains("could be read on the way") && said.contains("hint:"), "{said}");
    // What a token may not is an error with a hint, and is in the trail.
    let refused = server.run_as(&app, &["log", "create", "mine"]);
    let said = text(&refused.stderr);
    assert!(
        said.contains("takes the role operator") && said.contains("indelible whoami"),
        "{said}"
    );
    let trail = server.ok(&["trail", "--denied", "--actor", "app"]);
    assert!(
        trail.contains("control.log.create") && trail.contains("needs the permission manage"),
        "{trail}"
    );
    assert!(server.ok(&["trail", "--log", "nowhere"]).contains("nothing in the trail fits"));
    assert_eq!(server.ok(&["trail", "--denied", "--actor", "app", "--since", "1h"]), trail);
    assert!(server.ok(&["trail", "--since", "2099-01-01"]).contains("nothing in the trail fits"));
    assert!(server.ok(&["trail", "--actor", "\"a *"]).contains("nothing in the trail fits"));
    // Grants come and go, and keys are replaced.
    let added = server.ok(&[
        "grant",
        "add",
        "group:sre",
        "verifier:*",
        "--until",
        "30d",
        "--reason",
        "audit",
    ]);
    let id = added.split_whitespace().nth(2).unwrap();
    assert!(server.ok(&["grant", "list"]).contains("group:sre"));
    server.ok(&["grant", "remove", id]);
    assert!(!server.ok(&["grant", "list"]).contains("group:sre"));
    let old = server.ok(&["key", "show", "prod"]);
    server.ok(&["key", "rotate", "prod", "--overlap", "1", "--reason", "yearly"]);
    assert_ne!(server.ok(&["key", "show", "prod"]), old);
    assert!(server.ok(&["key", "show", "prod", "--all"]).contains("signs until"));
    server.ok(&["log", "publish", "prod"]);
    let answer = get(&server.url, "/tlog/prod/checkpoint");
    assert!(answer.contains("\r\n\r\ntest.example/prod\n"), "{answer}");
    server.ok(&["log", "unpublish", "prod"]);
    let history = server.ok(&["control", "history"]);
    for part in [
        "grant verifier:* until",
        "because audit",
        "replace the signing key of prod",
        "because yearly",
        "to everybody",
    ] {
        assert!(history.contains(part), "{part}: {history}");
    }
}

/// A request without any credential.
fn get(url: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_first_token_is_printed_once_or_kept_in_a_file_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |arguments: &[&str]| {
        let mut command = Command::new("timeout");
        command.args([
            "--signal=TERM",
            "3",
            env!("CARGO_BIN_EXE_indelible"),
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data",
        ]);
        let output = command
            .arg(folder.path().join("data"))
            .args(arguments)
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    };
    let first = serve(&[]);
    assert!(first.contains("operator token, shown this once") && first.contains("ind_"), "{first}");
    assert!(!serve(&[]).contains("ind_"));
    let file = folder.path().join("token").display().to_string();
    let quiet = serve(&["--new-operator-token", "--bootstrap-token-file", &file]);
    assert!(!quiet.contains("ind_") && !quiet.contains("operator token"), "{quiet}");
    assert!(fs::read_to_string(&file).unwrap().starts_with("ind_"));
    let open = serve(&["--listen", "0.0.0.0:0"]);
    assert!(open.contains("error:") || open.contains("cannot be used multiple times"), "{open}");
}

/// A token of a software HSM, made for this test.
struct SoftHsm {
    conf: PathBuf,
    pin: PathBuf,
}

const MODULES: [&str; 2] =
    ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];

impl SoftHsm {
    fn new(folder: &Path) -> Self {
        let (tokens, conf, pin) =
            (folder.join("tokens"), folder.join("softhsm.conf"), folder.join("pin"));
        fs::create_dir(&tokens).unwrap();
        fs::write(
            &conf,
            format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()),
        )
        .unwrap();
        write_private(&pin, "1234\n");
        let made = Command::new("softhsm2-util")
            .args([
                "--init-token",
                "--free",
                "--label",
                "indelible",
                "--pin",
                "1234",
                "--so-pin",
                "5678",
            ])
            .env("SOFTHSM2_CONF", &conf)
            .output();
        let made = made.expect("softhsm2 is not installed: run `cargo xtask test`");
        assert!(made.status.success(), "{}", text(&made.stderr));
        Self { conf, pin }
    }

    fn arguments(&self) -> Vec<String> {
        let module =
            MODULES.iter().find(|path| Path::new(path).exists()).expect("no SoftHSM module");
        ["--pkcs11-module", module, "--pkcs11-token", "indelible", "--pkcs11-pin-file"]
            .into_iter()
            .map(str::to_owned)
            .chain([self.pin.display().to_string()])
            .collect()
    }
}

#[test]
fn signing_keys_in_a_hardware_module() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let hsm = SoftHsm::new(folder.path());
    let arguments = hsm.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let start = || Process::serve_in(&data, &arguments, &[("SOFTHSM2_CONF", hsm.conf.as_path())]);
    let server = start();
    server.ok(&["log", "create", "prod"]);
    let kept = fs::read_to_string(data.join("logs/prod/key")).unwrap();
    assert!(kept.starts_with("pkcs11:token=indelible;id=") && !kept.contains("PRIVATE"), "{kept}");
    let events = folder.path().join("e.json");
    fs::write(&events, event("a")).unwrap();
    let events = events.display().to_string();
    assert!(server.ok(&["append", "prod", &events]).contains("every receipt checked"));
    let key = server.ok(&["key", "show", "prod"]);
    server.kill();
    // The same key after a restart; a new one in the module too.
    let server = start();
    assert_eq!(server.ok(&["key", "show", "prod"]), key);
    server.ok(&["key", "rotate", "prod", "--overlap", "0"]);
    fs::write(&events, event("b")).unwrap();
    server.ok(&["append", "prod", &events]);
    let newer = server.ok(&["key", "show", "prod"]);
    assert_ne!(newer, key);
    server.kill();
    // Whoever has the files and either key needs no module to verify.
    for key in [key, newer] {
        let file = folder.path().join("vkey");
        fs::write(&file, key).unwrap();
        let verdict = indelible()
            .arg("verify")
            .arg(&data)
            .args(["--log", "prod", "--key"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(verdict.status.success(), "{}{}", text(&verdict.stdout), text(&verdict.stderr));
    }
    // Without the module the server does not start, and says why.
    let refused = indelible()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(text(&refused.stderr).contains("hardware module"), "{}", text(&refused.stderr));
    // A PIN that others can read is refused.
    fs::set_permissions(&hsm.pin, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = indelible()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .args(&arguments)
        .env("SOFTHSM2_CONF", &hsm.conf)
        .output()
        .unwrap();
    assert!(text(&refused.stderr).contains("chmod 600"), "{}", text(&refused.stderr));
}

/// What the server had answered when it was killed.
#[derive(Default)]
struct Answered {
    logs: Vec<String>,
    tokens: Vec<String>,
    keys: Vec<String>,
}

async fn act_until_it_dies(client: Client, round: usize) -> Answered {
    let mut answered = Answered::default();
    for n in 0.. {
        let name = format!("l{round}-{n}");
        let Ok(log) = client.create_log(&name, false).await else { break };
        answered.logs.push(log.name);
        let wanted = serde_json::from_value(
            json!({ "name": name, "grants": [{ "role": "reader", "log": name }] }),
        );
        let Ok(token) = client.create_token(&wanted.unwrap()).await else { break };
        answered.tokens.push(token.id);
        let wanted = serde_json::from_value(json!({ "overlap_hours": 1 })).unwrap();
        let Ok(key) = client.rotate_key("prod", &wanted).await else { break };
        answered.keys.push(key.id);
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_survives_kill_nine() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Process::serve(&data);
    server.ok(&["log", "create", "prod"]);
    let pinned = server.ok(&["key", "show", "prod"]);
    server.kill();
    for round in 0..12 {
        let server = Process::serve(&data);
        let acting = tokio::spawn(act_until_it_dies(server.client(), round));
        tokio::time::sleep(Duration::from_millis(3 + 7 * round as u64)).await;
        server.kill();
        let answered = acting.await.unwrap();
        let server = Process::serve(&data);
        let client = server.client();
        // What was answered is in force.
        let logs = client.logs().await.unwrap();
        for name in &answered.logs {
            assert!(logs.iter().any(|log| log.name == *name && log.accepting), "{name}");
        }
        let tokens = client.tokens().await.unwrap();
        assert!(answered.tokens.iter().all(|id| tokens.iter().any(|token| token.id == *id)));
        let prod = logs.iter().find(|log| log.name == "prod").unwrap();
        let keys: Vec<&str> = prod.keys.iter().map(|key| key.vkey.as_str()).collect();
        assert!(answered.keys.iter().all(|key| keys.contains(&key.as_str())));
        // The configuration, the trail of it and what is on disk agree.
        assert_eq!(keys.last(), Some(&prod.vkey.as_str()));
        let history = server.ok(&["control", "history", "--json"]);
        let created: Vec<String> = history
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|event| event["event"]["action"] == "control.log.created")
            .map(|event| event["event"]["control"]["log"].as_str().unwrap().to_owned())
            .collect();
        let mut open: Vec<&str> = logs
            .iter()
            .map(|log| log.name.as_str())
            .filter(|name| !name.starts_with('_'))
            .collect();
        let mut created: Vec<&str> = created.iter().map(String::as_str).collect();
        open.sort_unstable();
        created.sort_unstable();
        assert_eq!(created, open);
        server.kill();
    }
    let store = DataDir::open(&data).unwrap();
    let verdict = verify_store(
        store.store("prod").unwrap().as_ref(),
        &pinned.trim().parse().unwrap(),
        None,
        &|_, _| {},
    );
    assert_eq!(verdict.findings, []);
    for log in ["_control", "_access"] {
        let key = store.verifying_key(log, &Options::default()).unwrap();
        let verdict = verify_store(store.store(log).unwrap().as_ref(), &key, None, &|_, _| {});
        assert_eq!(verdict.findings, [], "{log}");
    }
    let credentials = Credentials::default();
    assert!(format!("{credentials:?}").len() < 20);
}
