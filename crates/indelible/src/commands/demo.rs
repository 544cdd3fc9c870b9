//! `indelible demo`: the whole thing at work, in one command.

use crate::{
    commands::serve::stop_signal,
    company::{Company, STORY},
    output::{self, BAD, FAINT, GOOD, STRONG, count, line},
};
use anyhow::Context as _;
use indelible_api::{CreateToken, Grant, LogInfo, RecordName, Role};
use indelible_client::{AppendOptions, Client, Credentials, LogClient};
use indelible_log::{DataDir, Options};
use indelible_server::{AccessConfig, Config, IndexOptions, Limits, Server};
use indelible_tlog::VerifyingKey;
use indelible_verify::verify_store;
use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

const LOG: &str = "harbor-lane";
const BATCH: usize = 500;

/// See it work: a server with a week of a small company's events, verified, then tampered with.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Where to put the data; must not exist yet [default: a new folder in the temporary directory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:7070, or any free port if that is taken]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Stop when the show is over instead of staying up
    #[arg(long)]
    exit: bool,
}

impl Demo {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.show())
    }

    async fn show(self) -> anyhow::Result<ExitCode> {
        let folder = match &self.data {
            Some(path) => path.clone(),
            None => fresh_folder()?,
        };
        if folder.join("site").exists() {
            anyhow::bail!(
                "{} holds a data directory already; the demo starts with a fresh one",
                folder.display()
            );
        }
        let data = folder.join("data");
        let server = self.bind(&data).await?;
        let url = format!("http://{}", server.address().context("the server has no address")?);
        let operator = server.operator_token().context("no operator's token")?.to_owned();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async move { drop(stopped.await) }));
        line(format_args!(
            "{STRONG}1. A log, and a week of Harbor Lane, a made-up company{STRONG:#}"
        ));
        let (client, info) = prepare(&url, operator, &folder).await?;
        let key: VerifyingKey = info.vkey.parse()?;
        fs::write(folder.join("harbor-lane.vkey"), format!("{key}\n"))?;
        let log = client.log(LOG, Some(key.clone())).await?;
        let size = append_week(&log).await?;
        line(format_args!("   {} events appended to {url}, every receipt checked", count(size)));
        line("");
        let story_at = tell_story(&log).await?;
        show_commands(&url, &folder);
        verify(&data, &key)?;
        tamper(&folder, &data, &key, story_at)?;
        if self.exit {
            drop(stop);
        } else {
            line(format_args!(
                "{STRONG}The server stays up at {url}; Ctrl-C stops it.{STRONG:#} The data stays in {}",
                folder.display()
            ));
            stop_signal().await;
            drop(stop);
        }
        running.await?;
        Ok(ExitCode::SUCCESS)
    }

    async fn bind(&self, data: &Path) -> anyhow::Result<Server> {
        let config = |listen| Config {
            data: data.to_owned(),
            listen,
            site: Some("demo.indelible.example".to_owned()),
            guard: None,
            access: AccessConfig::default(),
            limits: Limits::default(),
            log: Options::default(),
            index: IndexOptions::default(),
        };
        if let Some(listen) = self.listen {
            return Ok(Server::bind(&config(listen)).await?);
        }
        match Server::bind(&config(SocketAddr::from(([127, 0, 0, 1], 7070)))).await {
            Err(indelible_server::StartError::Listen(..)) => {
                Ok(Server::bind(&config(SocketAddr::from(([127, 0, 0, 1], 0)))).await?)
            }
            other => Ok(other?),
        }
    }
}

fn fresh_folder() -> anyhow::Result<PathBuf> {
    let base = std::env::temp_dir();
    for n in 0..1000 {
        let folder = base.join(format!("indelible-demo-{}-{n}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context("could not create a folder for the demo"),
        }
    }
    anyhow::bail!(
        "{} is full of old demos; remove some, or name a folder with --data",
        base.display()
    )
}

/// Creates the log, and a token for the rest of the demo that stays in the folder.
async fn prepare(url: &str, operator: String, folder: &Path) -> anyhow::Result<(Client, LogInfo)> {
    let client = |token: String| {
        Client::new(url, &Credentials { token: Some(token), ..Credentials::default() })
    };
    let operator = client(operator)?;
    let info = operator.create_log(LOG, false).await?;
    let roles = [(Role::Writer, LOG), (Role::Auditor, "*"), (Role::Operator, "*")];
    let wanted = CreateToken {
        name: "demo".to_owned(),
        grants: roles.map(|(role, log)| Grant::new(role, log)).into(),
        expires_at: None,
        reason: None,
    };
    let token = operator.create_token(&wanted).await?.token;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(folder.join("token"))?;
    writeln!(file, "{token}")?;
    Ok((client(token)?, info))
}

async fn append_week(log: &LogClient) -> anyhow::Result<u64> {
    let week = Company::new(1).week();
    let bar = output::progress(week.len() as u64, "events");
    for batch in week.chunks(BATCH) {
        let events: Vec<&str> = batch.iter().map(String::as_str).collect();
        log.append(&events, &AppendOptions { proof: true, ..AppendOptions::default() }).await?;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(week.len() as u64)
}

/// Prints the story and where it is; returns the index of the change in the database.
async fn tell_story(log: &LogClient) -> anyhow::Result<u64> {
    line(format_args!("{STRONG}2. What happened, and where it is{STRONG:#}"));
    let mut changed_at = 0;
    for (n, chapter) in STORY.iter().enumerate() {
        let view = log.event(&RecordName::Id(chapter.id.to_owned())).await?;
        line(format_args!("   {STRONG}record {}{STRONG:#}  {}", view.index, chapter.caption));
        if n == 2 {
            changed_at = view.index;
        }
    }
    line("");
    Ok(changed_at)
}

fn show_commands(url: &str, folder: &Path) {
    let key = folder.join("harbor-lane.vkey");
    let flag = if url == "http://127.0.0.1:7070" { String::new() } else { format!("--url {url} ") };
    line(format_args!("{STRONG}3. Try it, in another terminal{STRONG:#}"));
    for command in [
        format!("export INDELIBLE_TOKEN_FILE={}", folder.join("token").display()),
        format!("indelible {flag}get {LOG} id:hl-story-1"),
        format!("indelible {flag}tail {LOG} -n 20"),
        format!("indelible {flag}prove {LOG} id:hl-story-3 > story.tlog-proof"),
        format!("indelible {flag}get {LOG} id:hl-story-3 --raw > story.record"),
        format!("indelible verify story.tlog-proof --record story.record --key {}", key.display()),
        format!("indelible verify {url} --log {LOG} --key {}", key.display()),
        format!("indelible {flag}search {LOG} outcome:denied --facet actor,action"),
        format!("indelible {flag}trail -n 5"),
    ] {
        line(format_args!("   {FAINT}${FAINT:#} {command}"));
    }
    line("");
}

fn verify(data: &Path, key: &VerifyingKey) -> anyhow::Result<()> {
    line(format_args!("{STRONG}4. Verify all of it, from the files alone{STRONG:#}"));
    let store = DataDir::open(data)?.store(LOG)?;
    let verdict = verify_store(store.as_ref(), key, None, &|_, _| {});
    if let Some(finding) = verdict.findings.first() {
        anyhow::bail!("the demo's own data does not verify: {}", finding.message);
    }
    let coverage = verdict.coverage;
    line(format_args!(
        "   {GOOD}holds{GOOD:#}  {} records hashed, {} checkpoints checked",
        count(coverage.records),
        count(coverage.checkpoints)
    ));
    line("");
    Ok(())
}

/// Changes one byte of the new account number in a copy, as an insider with access
/// to the disk could, and verifies the copy.
fn tamper(folder: &Path, data: &Path, key: &VerifyingKey, story_at: u64) -> anyhow::Result<()> {
    line(format_args!(
        "{STRONG}5. Tamper with a copy: one byte of the bank account in record {story_at}{STRONG:#}"
    ));
    let copy = folder.join("tampered");
    // The log alone: the index and the trail go on being written.
    fs::create_dir_all(&copy)?;
    fs::copy(data.join("site"), copy.join("site"))?;
    copy_folder(&data.join("logs").join(LOG), &copy.join("logs").join(LOG))?;
    let needle = b"LT601010012345678901";
    let journals = copy.join("logs").join(LOG).join("journal");
    let mut changed = None;
    for entry in fs::read_dir(&journals)? {
        let path = entry?.path();
        let mut bytes = fs::read(&path)?;
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            bytes[at + 10] ^= 1;
            fs::write(&path, bytes)?;
            changed = Some((path, at + 10));
        }
    }
    let (path, at) = changed.context("the story is not in the journals")?;
    line(format_args!(
        "   flipped a bit of byte {at} of {}",
        path.strip_prefix(folder).unwrap_or(&path).display()
    ));
    let store = DataDir::open(&copy)?.store(LOG)?;
    let verdict = verify_store(store.as_ref(), key, None, &|_, _| {});
    let finding = verdict.findings.first().context("the change was not found")?;
    let index = verdict
        .first_bad_index()
        .map_or_else(String::new, |index| format!("  first bad index {index}"));
    line(format_args!("   {BAD}altered{BAD:#}{index}"));
    line(format_args!("   {}", finding.message));
    line("");
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
