//! Search against a naive scan of the log: whatever the events and the query, the
//! results are the same, in the same order, through restarts, merges and rebuilds.
#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

mod as_sent;
mod integrity;
mod reference;

use indelible_event::{Envelope, Event};
use indelible_event::{NATIVE, format_named};
use indelible_index::{IndexOptions, LogIndex, Order, Source, count, facet, histogram};
use indelible_log::{Batch, DataDir, Kind, Log, Options};
use indelible_query::{Field, Part, Query, parse};
use proptest::prelude::*;
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

/// Small pieces, so that a small log has many shards and merges.
pub(crate) const SMALL: IndexOptions = IndexOptions { shard: 64, step: 8, fan_in: 3 };

pub(crate) fn open_log(path: &Path) -> Arc<Log> {
    let options = Options { journal_capacity: (4096, 1 << 20), ..Options::default() };
    let data = DataDir::open_or_create(path, Some("test.example")).unwrap();
    drop(data.create_log("prod", Kind::Events, &options));
    Arc::new(Log::open(data.store("prod").unwrap(), &options).unwrap())
}

pub(crate) fn append(log: &Log, events: &[String]) {
    let (now, header) = log.header("token:abc", NATIVE);
    let mut batch = Batch::new();
    for event in events {
        log.stage(&mut batch, &header, now, format_named(NATIVE).unwrap(), event).unwrap();
    }
    log.append(batch).unwrap();
}

pub(crate) fn catch_up(index: &LogIndex) {
    while index.extend().unwrap() || index.merge().unwrap() {}
}

/// All records, read without the index.
struct Scan<'a> {
    log: &'a Log,
    records: Vec<Vec<u8>>,
    events: Vec<Event>,
}

impl<'a> Scan<'a> {
    fn of(log: &'a Log) -> Self {
        let records: Vec<Vec<u8>> =
            (0..log.head().size).map(|index| log.record(index).unwrap()).collect();
        let event = |record: &Vec<u8>| {
            let envelope = Envelope::parse(record).unwrap();
            let data = log.data(&envelope).unwrap();
            format_named(&envelope.format).unwrap().view(&data).unwrap()
        };
        let events = records.iter().map(event).collect();
        Self { log, records, events }
    }

    fn matches(&self, query: &Query) -> Vec<u64> {
        (0..)
            .zip(&self.records)
            .filter(|(at, record)| {
                query.matches(&Source::of(self.log, *at, record).unwrap().read())
            })
            .map(|(at, _)| at)
            .collect()
    }
}

/// All results, page by page.
pub(crate) fn search(index: &LogIndex, query: &Query, order: Order, page: usize) -> Vec<u64> {
    let (mut found, mut beyond) = (Vec::new(), None);
    loop {
        let hits = index.search(query, order, beyond, page).unwrap();
        assert!(hits.indexes.len() <= page);
        found.extend(hits.indexes);
        match hits.next {
            Some(next) => beyond = Some(next),
            None => return found,
        }
    }
}

fn check(index: &LogIndex, scan: &Scan<'_>, query: &Query, name: &str) {
    let expected = scan.matches(query);
    for page in [1, 3, 1000] {
        let oldest = search(index, query, Order::OldestFirst, page);
        assert_eq!(oldest, expected, "{name}, oldest first, {page} a page");
        let mut newest = search(index, query, Order::NewestFirst, page);
        newest.reverse();
        assert_eq!(newest, expected, "{name}, newest first, {page} a page");
    }
    assert_eq!(count(&[(index, query)]).unwrap(), expected.len() as u64, "{name}, count");
    let mut actions = BTreeMap::new();
    let mut days: BTreeMap<i64, u64> = BTreeMap::new();
    const DAY: i64 = 86_400_000_000;
    for event in expected.iter().map(|at| &scan.events[*at as usize]) {
        *actions.entry(event.action.clone()).or_insert(0u64) += 1;
        let time = event.timestamp().unwrap().as_micros();
        *days.entry(time.div_euclid(DAY) * DAY).or_default() += 1;
    }
    let found = facet(&[(index, query)], Field::Action, 100).unwrap();
    assert_eq!(found.values.into_iter().collect::<BTreeMap<_, _>>(), actions, "{name}, facet");
    let tenants = facet(&[(index, query)], Field::Tenant, 100).unwrap();
    let mut expected_tenants = BTreeMap::new();
    for tenant in expected.iter().filter_map(|at| scan.events[*at as usize].tenant.clone()) {
        *expected_tenants.entry(tenant).or_insert(0u64) += 1;
    }
    assert_eq!(tenants.values.into_iter().collect::<BTreeMap<_, _>>(), expected_tenants, "{name}");
    let found = histogram(&[(index, query)], DAY, Some((Field::Action, 2))).unwrap();
    let counts: BTreeMap<i64, u64> =
        found.buckets.iter().map(|(start, (count, _))| (*start, *count)).collect();
    assert_eq!(counts, days, "{name}, histogram");
}

const ACTORS: [&str; 5] = ["ada", "Ada Lovelace", "büro-ß", "svc:ci", "ΣΑΣ"];
const ACTIONS: [&str; 5] =
    ["iam.role.granted", "iam.role.revoked", "IAM.user.created", "s3.get", "x"];
const TENANTS: [&str; 3] = ["a", "A", "acme corp"];
/// Values that are easily merged, cut or missed.
const ODD: [&str; 24] = [
    "1000",
    "1e3",
    "1000.0",
    "1.5",
    "1.50",
    "-0",
    "0",
    "0.0",
    "1e400",
    "9007199254740992",
    "9007199254740993",
    "9007199254740993.0",
    "18446744073709551616",
    "-1e-3",
    "1e999999999",
    "\"用户登录失败密码错误\"",
    "\"登录，失败\"",
    "\"铁路12306\"",
    "\"İstanbul\"",
    "\"istanbul\"",
    "\"x\u{10ffff}y\"",
    "\"ผู้ใช้เข้าสู่ระบบไม่สำเร็จ\"",
    "\"0xababababababababababababababababababababababababababababababababab01\"",
    "\"0xababababababababababababababababababababababababababababababababab02\"",
];
const ADDRESSES: [&str; 7] = [
    "10.0.0.1",
    "192.0.2.44",
    "::ffff:192.0.2.44",
    "192.0.2.44:52110",
    "2001:DB8:0::1",
    "fe80::1%eth0",
    "not an address",
];
const WORDS: [&str; 8] =
    ["alpha", "Beta gamma", "10.0.0.1", "a-b_c", "x*y", "true", "403", "naïve Straße"];

fn event() -> impl Strategy<Value = String> {
    let pick = |n: usize| 0..n;
    (
        (pick(5), pick(5), pick(4), pick(5), pick(6)),
        (pick(8), pick(8), pick(4), 0i64..40, prop::bool::weighted(0.03)),
    )
        .prop_map(|((actor, action, tenant, ip, outcome), (word, other, kind, day, huge))| {
            let outcome = ["success", "failure", "denied", "unknown", "success", "success"][outcome];
            let mut event = serde_json::json!({
                "time": format!("2026-{:02}-{:02}T{:02}:00:00Z", 1 + day / 20, 1 + day % 20, day % 24),
                "action": ACTIONS[action],
                "actor": { "type": "user", "id": ACTORS[actor], "session_id": format!("S-{word}") },
                "outcome": { "result": outcome, "code": WORDS[other] },
                "targets": [{ "type": if kind == 0 { "log" } else { "bucket" }, "id": WORDS[word] }, { "type": "role", "id": "r", "name": ACTORS[other % 5] }],
                "metadata": { "note": WORDS[word], "n": day, "deep": [{ "a.b": { "c": WORDS[other] } }, kind > 1], "f": 1.5 },
            });
            if let Some(tenant) = TENANTS.get(tenant) {
                event["tenant"] = (*tenant).into();
            }
            let days = usize::try_from(day).unwrap();
            let address = |at: usize| ADDRESSES[at % ADDRESSES.len()];
            if ip < 4 {
                event["context"] = serde_json::json!({
                    "ip": address(days + ip), "request_id": format!("req-{day}"),
                    "forwarded_for": [address(days + 2), address(days + 3 * ip)],
                });
            }
            if huge {
                event["metadata"]["list"] = (0..3000).map(|n| format!("item{n}")).collect::<Vec<_>>().into();
                event["action"] = "long".repeat(100).into();
                event["metadata"]["text"] = "wörd ".repeat(4000).into();
            }
            // As somebody wrote it: it must not pass through a value on its way.
            let odd = |at: usize| ODD[at % ODD.len()];
            let (x, msg) = (odd(7 * days + word), odd(5 * days + other));
            let odd = format!("\"f\":1.5,\"x\":{x},\"msg\":{msg},\"a:b c\":\"v\",\"a:b\":\"v\",\"\":\"v\"");
            event.to_string().replacen("\"f\":1.5", &odd, 1)
        })
}

/// A query, written from parts.
fn query() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "actor:ada",
            "actor:\"ada lovelace\"",
            "actor:a*",
            "actor:BÜRO-ß",
            "actor:σας",
            "actor:*",
            "action:iam.role.*",
            "action:iam.user.created",
            "action:s3.get",
            "action:zzz",
            "action:longlong*",
            "outcome:denied",
            "outcome:success",
            "outcome:*",
            "tenant:a",
            "tenant:\"acme corp\"",
            "tenant:*",
            "ip:10.0.0.0/8",
            "ip:10.0.0.1",
            "ip:2001:db8::/32",
            "ip:0.0.0.0/0",
            "ip:::/0",
            "ip:not*",
            "category:permission",
            "ip:192.0.2.44",
            "ip:\"[::FFFF:192.0.2.44]:443\"",
            "ip:192.0.2.0/24",
            "ip:::ffff:192.0.2.0/120",
            "forwarded_for:10.0.0.0/8",
            "forwarded_for:192.0.2.44",
            "forwarded_for:*",
            "data.metadata.x:1000",
            "data.metadata.x:1e3",
            "data.metadata.x:1.5",
            "data.metadata.x:0",
            "data.metadata.x:1e400",
            "data.metadata.x:9007199254740993",
            "data.metadata.x:>9007199254740992",
            "data.metadata.x:9007199254740993..9007199254740993",
            "data.metadata.x:<=-1e-3",
            "data.metadata.x:1e999999999",
            "data.metadata.x:18446744073709551616",
            "data.metadata.x:1*",
            "18446744073709551616",
            "登录失败",
            "登录",
            "录",
            "12306",
            "铁路12306",
            "\"路12306\"",
            "data.metadata.msg:用户*",
            "istanbul",
            "İst*",
            "data.metadata.msg:İSTANBUL",
            "data.metadata.msg:x\u{10ffff}y",
            "data.metadata.msg:x*",
            "เข้าสู่ระบบ",
            "0xababababababababababababababababababababababababababababababababab01",
            "0xabababababababababababababababababababababababababababababababab*",
            "data.metadata.\"a:b c\":v",
            "data.metadata.\"a:b c\":*",
            "data.metadata.\"\":v",
            "data.metadata.a:b:v",
            "data.metadata.note:a:b",
            "time:2026-01-05T04:00:00.000000001..2026-02-01",
            "actor:b\u{fc}*",
            "target:alpha",
            "target:r",
            "target.type:role",
            "by:token:abc",
            "format:indelible.v1",
            "session:s-1",
            "session:S-*",
            "request:req-3",
            "request:req-*",
            "code:403",
            "code:\"a-b_c\"",
            "code:t*",
            "alpha",
            "beta",
            "\"beta gamma\"",
            "gam*",
            "10.0.0.1",
            "a-b_c",
            "\"x*y\"",
            "true",
            "403",
            "straße",
            "STRASSE",
            "item2999",
            "item1",
            "wörd",
            "nothing",
            "\"wörd wörd\"",
            "data.metadata.note:alpha",
            "data.metadata.note:\"Beta gamma\"",
            "data.metadata.note:be*",
            "data.metadata.n:7",
            "data.metadata.n:>=30",
            "data.metadata.n:5..9",
            "data.metadata.n:<3",
            "data.metadata.f:1.5",
            "data.metadata.deep.a.b.c:true",
            "data.metadata.deep:true",
            "data.metadata.deep:f*",
            "data.metadata.list:item7",
            "data.metadata.nope:*",
            "data.metadata.list:*",
            "data.time:2026*",
            "during:2026-01",
            "after:2026-02-10",
            "before:2026-01-05T12",
            "time:2026-01-03..2026-01-09",
            "time:>2026-02",
            "index:5..40",
            "index:>100",
            "index:7",
            "received:>=2020",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.clone().prop_map(|a| format!("-({a})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

/// What queries are written with.
const PIECES: [&str; 24] = [
    "after:",
    "during:",
    "time:",
    "index:",
    "data.a.b:",
    "ip:",
    "actor:",
    "2026",
    "9999",
    "-",
    "T",
    ":",
    "Z",
    "9223372036854775807",
    "18446744073709551616",
    "1e308",
    "..",
    ">=",
    "<",
    "\"",
    "(",
    ")",
    " OR ",
    "7w",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_scan_finds(
        events in prop::collection::vec(event(), 1..220),
        queries in prop::collection::vec(query(), 1..12),
        cuts in prop::collection::vec(1usize..60, 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let log = open_log(&folder.path().join("data"));
        let place = folder.path().join("index");
        let mut index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
        let mut rest = events.as_slice();
        // Everything, too: full shards keep what that adds up to.
        let texts = queries.into_iter().chain([String::new()]);
        let parsed: Vec<(String, Query)> =
            texts.map(|text| { let query = parse(&text, 0).unwrap(); (text, query) }).collect();
        for (round, cut) in cuts.iter().cycle().enumerate() {
            let (now, later) = rest.split_at(rest.len().min(*cut));
            rest = later;
            append(&log, now);
            // Interrupted in the middle, reopened, or deleted: it goes on.
            match round % 4 {
                0 => catch_up(&index),
                1 => {
                    index.extend().unwrap();
                    index.merge().unwrap();
                    index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
                    catch_up(&index);
                }
                2 => {
                    std::fs::remove_dir_all(&place).unwrap();
                    catch_up(&index);
                }
                _ => {
                    std::fs::create_dir_all(place.join("000000000000-000000000999.tmp")).unwrap();
                    std::fs::create_dir_all(place.join("000000000000-000000000009")).unwrap();
                    index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
                    catch_up(&index);
                }
            }
            prop_assert_eq!(*index.indexed().borrow(), log.head().size);
            if rest.is_empty() {
                break;
            }
        }
        let scan = Scan::of(&log);
        for (text, query) in &parsed {
            check(&index, &scan, query, text);
            // Counted a second time, from what was kept.
            check(&index, &scan, query, text);
            let narrowed = query.clone().within(&[Part { tenant: Some("a".to_owned()), log: None }]);
            check(&index, &scan, &narrowed, &format!("{text} of tenant a"));
            let seen = search(&index, &narrowed, Order::OldestFirst, 1000);
            let of_log = Part { tenant: None, log: Some("al*".to_owned()) };
            check(&index, &scan, &query.clone().within(&[of_log]), &format!("{text} of a log"));
            prop_assert!(seen.iter().all(|at| scan.events[*at as usize].tenant.as_deref() == Some("a")));
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused_at_a_column(
        parts in prop::collection::vec(prop_oneof!["\\PC{0,20}", prop::sample::select(&PIECES).prop_map(str::to_owned)], 0..12),
        now: i64,
    ) {
        let text = parts.concat();
        if let Err(error) = parse(&text, now) {
            prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{error}");
        }
    }
}

#[test]
fn errors_name_the_column_and_suggest() {
    for (text, column, said) in [
        ("action:x acton:y", 10, "did you mean action?"),
        ("(a b", 1, "never closed"),
        ("a b)", 4, "closes nothing"),
        ("\"a b", 1, "quote is never closed"),
        ("a OR", 3, "on its right"),
        ("OR a", 1, "on its left"),
        ("a*b", 1, "star may stand at the end"),
        ("after:yesterday", 7, "such as 7d"),
        ("after:2026-9223372036854775807", 7, "is not a time"),
        ("during:2026-00", 8, "is not a time"),
        ("after:9223372036854775807w", 7, "is not a time"),
        ("ip:10.0.0.0/99", 4, "network such as"),
        ("index:ten", 7, "not a number"),
        ("actor:", 7, "value is missing"),
        (":x", 1, "no field before"),
        ("data.:x", 1, "needs a path"),
        ("zebra:1", 1, "there is no field"),
        ("-", 1, "no word in this"),
        ("!!", 2, "nothing to negate"),
        ("outcome:failed", 9, "one of success, failure, denied, unknown; did you mean failure?"),
        ("outcome:err*", 9, "one of success"),
        ("actor.type:robot", 12, "one of user, service, agent"),
        ("category:iam", 10, "one of auth"),
        ("format:cloudtrail", 8, "one of"),
        ("action:sz.prob?", 8, "a star at the end"),
        ("a&&b", 1, "write AND with spaces"),
        ("actor:a||b", 7, "write OR with spaces"),
        ("actor=alice", 1, "write actor:VALUE"),
        ("outcome!=success", 1, "write outcome:VALUE"),
        ("actor:(a OR b)", 7, "write (actor:a OR actor:b)"),
        ("actor: alice", 7, "no space after the colon"),
        ("|| a", 1, "on its left"),
        ("after:2026-03-01T12:00:00.1234567890", 7, "is not a time"),
        ("NOT", 1, "nothing to negate"),
    ] {
        let error = parse(text, 0).unwrap_err();
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.message.contains(said), "{text}: {error}");
    }
    let same = |a: &str, b: &str| assert_eq!(parse(a, 0).unwrap(), parse(b, 0).unwrap(), "{a}");
    for (typed, meant) in [
        ("a or b And c", "a OR b AND c"),
        ("not a", "NOT a"),
        ("a || b && !c", "a OR b AND NOT c"),
        ("–actor:a", "-actor:a"),
        ("\u{201c}a b\u{201d} actor:\u{201c}u-7\u{201d}", "\"a b\" actor:\"u-7\""),
        ("actor:'u-7'", "actor:\"u-7\""),
        ("'don't do'", "\"don't do\""),
        ("actor:O'Brien", "actor:\"O'Brien\""),
        ("\"data.a:b\":x", "data.\"a:b\":x"),
        ("data.a:b:x", "data.a:\"b:x\" OR data.\"a:b\":x"),
        ("data.t:2026-03-01T12:00", "data.t:\"2026-03-01T12:00\""),
        ("ip:[::ffff:192.0.2.1]:80", "ip:192.0.2.1"),
        ("OUTCOME:Success", "outcome:success"),
        ("time:>=2026-03-01T12:00:00+02:00", "time:>=2026-03-01T10:00:00Z"),
        ("after:\"2026-03-01 12:00\"", "after:2026-03-01T12"),
        ("*", ""),
    ] {
        same(typed, meant);
    }
    let quoted = parse("\"or\"", 0).unwrap();
    assert_ne!(quoted, Query::all());
    let bombs = [
        "(".repeat(100_000),
        "-".repeat(5000) + "a",
        "NOT ".repeat(2000) + "a",
        "a ".repeat(3000),
        "x".repeat(1 << 20),
        format!("action:{}", "a*".repeat(1000)),
        "! ".repeat(2000) + "a",
    ];
    assert!(bombs.iter().all(|bomb| parse(bomb, 0).is_err()));
}

#[test]
fn a_place_beyond_any_record_is_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder.path().join("data"));
    let index = LogIndex::open(Arc::clone(&log), &folder.path().join("index"), SMALL).unwrap();
    let event = r#"{"time":"9999-12-30T12:00:00Z","action":"a.b","actor":{"type":"user","id":"ada"},"outcome":{"result":"success"}}"#;
    append(&log, &vec![event.to_owned(); 20]);
    catch_up(&index);
    let find = |q: &str, order, beyond| {
        index.search(&parse(q, 0).unwrap(), order, Some(beyond), 100).unwrap().indexes.len()
    };
    assert_eq!(find("a", Order::OldestFirst, u64::MAX), 0);
    assert_eq!(find("a", Order::NewestFirst, u64::MAX), 20);
    assert_eq!(find("a", Order::NewestFirst, 0), 0);
    for last in ["during:9999", "during:9999-12", "during:9999-12-30", "after:9999"] {
        assert_eq!(find(last, Order::NewestFirst, u64::MAX), 20, "{last}");
    }
}

#[test]
fn merged_pieces_are_one_for_each_full_shard_and_few_for_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder.path().join("data"));
    let place = folder.path().join("index");
    let index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
    let event = r#"{"time":"2026-03-01T12:00:00Z","action":"a.b","actor":{"type":"user","id":"ada"},"outcome":{"result":"success"}}"#;
    for _ in 0..300 {
        append(&log, &[event.to_owned()]);
        index.extend().unwrap();
        index.merge().unwrap();
    }
    catch_up(&index);
    let mut names: Vec<String> = std::fs::read_dir(&place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        &names[..4],
        [
            "000000000000-000000000064",
            "000000000064-000000000128",
            "000000000128-000000000192",
            "000000000192-000000000256"
        ]
    );
    assert!(names.len() < 14, "{names:?}");
    assert!(place.join("000000000192-000000000256/rollup.json").exists(), "added up");
    assert_eq!(count(&[(&index, &Query::all())]).unwrap(), 300);
    // The words of events are nobody else's business: also where the folder was open.
    let mode = || std::fs::metadata(&place).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o700);
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
    drop(LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap());
    assert_eq!(mode(), 0o700);
    // The same folder under another log is not believed.
    let other = open_log(&folder.path().join("other"));
    append(&other, &vec![event.to_owned(); 70]);
    let index = LogIndex::open(Arc::clone(&other), &place, SMALL).unwrap();
    assert_eq!(*index.indexed().borrow(), 0);
    catch_up(&index);
    assert_eq!(count(&[(&index, &Query::all())]).unwrap(), 70);
}

#[test]
fn a_folder_that_cannot_be_written_degrades_search_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder.path().join("data"));
    let place = folder.path().join("index");
    let index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
    let event = r#"{"time":"2026-03-01T12:00:00Z","action":"a.b","actor":{"type":"user","id":"ada"},"outcome":{"result":"success"}}"#;
    append(&log, &vec![event.to_owned(); 5]);
    std::fs::remove_dir_all(&place).unwrap();
    std::fs::write(&place, "").unwrap();
    assert!(index.extend().is_err());
    assert!(index.problem().is_some());
    append(&log, &vec![event.to_owned(); 5]);
    assert_eq!(count(&[(&index, &Query::all())]).unwrap(), 0);
    std::fs::remove_file(&place).unwrap();
    catch_up(&index);
    assert!(index.problem().is_none());
    assert_eq!(count(&[(&index, &Query::all())]).unwrap(), 10);
}
