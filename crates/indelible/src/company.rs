//! A made-up small company whose systems write audit events: the demo's data, and the
//! kind of event that the benchmarks append. Deterministic: the same seed gives the
//! same bytes.

use indelible_event::Timestamp;
use std::fmt::Write as _;

/// Monday 2026-03-02, 00:00 UTC, in microseconds since the epoch.
const MONDAY_US: i64 = 1_772_409_600_000_000;
const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

struct Person {
    id: &'static str,
    name: &'static str,
    role: &'static str,
    ip: &'static str,
}

const fn person(
    id: &'static str,
    name: &'static str,
    role: &'static str,
    ip: &'static str,
) -> Person {
    Person { id, name, role, ip }
}

const PEOPLE: [Person; 16] = [
    person("u-ada", "Ada Okafor", "cto", "10.20.1.11"),
    person("u-ben", "Ben Lindqvist", "developer", "10.20.1.12"),
    person("u-carla", "Carla Mendes", "developer", "10.20.1.13"),
    person("u-dmitri", "Dmitri Volkov", "developer", "10.20.1.14"),
    person("u-elif", "Elif Kaya", "support", "10.20.2.21"),
    person("u-farid", "Farid Haddad", "support", "10.20.2.22"),
    person("u-grace", "Grace Nakamura", "finance", "10.20.3.31"),
    person("u-hugo", "Hugo Bernard", "finance", "10.20.3.32"),
    person("u-ines", "Ines Castro", "sales", "10.20.4.41"),
    person("u-jonas", "Jonas Weber", "sales", "10.20.4.42"),
    person("u-kira", "Kira Petrova", "operations", "10.20.5.51"),
    person("u-liam", "Liam Byrne", "operations", "10.20.5.52"),
    person("u-mei", "Mei Tanaka", "product", "10.20.6.61"),
    person("u-noor", "Noor Rahman", "people", "10.20.7.71"),
    person("u-oscar", "Oscar Nilsson", "developer", "10.20.1.15"),
    person("u-priya", "Priya Sharma", "security", "10.20.8.81"),
];

/// (action, category, system, kind of target, weight)
const ACTIONS: [(&str, &str, &str, &str, u64); 16] = [
    ("session.signed_in", "auth", "idp", "application", 14),
    ("session.signed_out", "auth", "idp", "application", 9),
    ("customer.viewed", "access", "crm", "customer", 24),
    ("customer.updated", "data", "crm", "customer", 9),
    ("invoice.created", "data", "billing", "invoice", 8),
    ("invoice.viewed", "access", "billing", "invoice", 10),
    ("payment.refunded", "data", "billing", "invoice", 2),
    ("ticket.answered", "data", "helpdesk", "ticket", 14),
    ("repository.pushed", "data", "git", "repository", 9),
    ("deployment.started", "config", "ci", "service", 4),
    ("deployment.finished", "config", "ci", "service", 4),
    ("secret.read", "access", "vault", "secret", 3),
    ("feature_flag.changed", "config", "flags", "flag", 2),
    ("report.exported", "access", "warehouse", "report", 2),
    ("api_key.rotated", "permission", "gateway", "api_key", 1),
    ("document.shared", "permission", "drive", "document", 3),
];

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:136.0) Gecko/20100101 Firefox/136.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/134.0",
    "harbor-cli/4.2.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Edg/134.0",
];

/// Writes the company's events, one after the other.
#[derive(Debug)]
pub(crate) struct Company {
    random: u64,
    written: u64,
}

/// One event of the story, and what it means.
pub(crate) struct Chapter {
    /// Id of the event.
    pub(crate) id: &'static str,
    /// What it means, for the reader of the demo.
    pub(crate) caption: &'static str,
}

/// The story in the demo's data, in order.
pub(crate) const STORY: [Chapter; 4] = [
    Chapter {
        id: "hl-story-1",
        caption: "Tuesday: Kira, in a hurry, grants Ben the role `admin` instead of `deployer`",
    },
    Chapter {
        id: "hl-story-2",
        caption: "Wednesday: Ben's new role shows: he reads the production database's password",
    },
    Chapter {
        id: "hl-story-3",
        caption: "three weeks later: from an unknown address, Ben's account changes a bank account in that database",
    },
    Chapter { id: "hl-story-4", caption: "the next morning: Priya takes the role away" },
];

impl Company {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { random: seed, written: 0 }
    }

    /// splitmix64: enough for made-up data, and the same everywhere.
    const fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// An ordinary event at a time, without an id (the log makes one).
    pub(crate) fn event(&mut self, time_us: i64) -> String {
        let mut text = String::with_capacity(640);
        self.write(time_us, &mut text);
        text
    }

    /// Writes such an event.
    pub(crate) fn write(&mut self, time_us: i64, text: &mut String) {
        let mut pick = self.below(ACTIONS.iter().map(|action| action.4).sum());
        let (action, category, system, kind, _) = *ACTIONS
            .iter()
            .find(|action| {
                let hit = pick < action.4;
                pick = pick.saturating_sub(action.4);
                hit
            })
            .unwrap_or(&ACTIONS[0]);
        let person = &PEOPLE[self.below(PEOPLE.len() as u64) as usize];
        let (result, reason) = match self.below(40) {
            0 => ("denied", ",\"reason\":\"missing permission\""),
            1 => ("failure", ",\"reason\":\"timeout\""),
            _ => ("success", ""),
        };
        self.written += 1;
        let (target, agent, session) =
            (self.below(900), AGENTS[self.below(4) as usize], time_us / DAY_US);
        let request = self.next() >> 32;
        write!(
            text,
            "{{\"time\":\"{}\",\"action\":\"{action}\",\"category\":\"{category}\",\
             \"actor\":{{\"type\":\"user\",\"id\":\"{id}\",\"name\":\"{name}\",\"roles\":[\"{role}\"],\"session_id\":\"s-{id}-{session}\"}},\
             \"targets\":[{{\"type\":\"{kind}\",\"id\":\"{kind}-{target:04}\"}}],\
             \"outcome\":{{\"result\":\"{result}\"{reason}}},\
             \"source\":{{\"name\":\"{system}\",\"instance\":\"{system}-1\",\"seq\":{seq}}},\
             \"context\":{{\"ip\":\"{ip}\",\"user_agent\":\"{agent}\",\"request_id\":\"req-{request:08x}\"}},\
             \"tenant\":\"harbor-lane\"}}",
            Timestamp::from_micros(time_us),
            id = person.id,
            name = person.name,
            role = person.role,
            seq = self.written,
            ip = person.ip,
        )
        // Writing to a string does not fail.
        .unwrap_or_default();
    }

    /// The week from Monday 2026-03-02: busy by day, quiet by night and on the
    /// weekend, with the story in it. Each event has an id.
    pub(crate) fn week(&mut self) -> Vec<String> {
        let mut timed = Vec::new();
        for day in 0..7 {
            for minute in 0..24 * 60 {
                let busy = day < 5 && (8 * 60..18 * 60).contains(&minute);
                let events = if busy { 1 + self.below(2) } else { u64::from(self.below(12) == 0) };
                for _ in 0..events {
                    let time = MONDAY_US
                        + day * DAY_US
                        + minute * MINUTE_US
                        + self.below(60_000_000).cast_signed();
                    timed.push((time, self.event(time)));
                }
            }
        }
        timed.extend(story());
        timed.sort_by_key(|(time, _)| *time);
        let with_id = |(n, (_, event)): (usize, (i64, String))| match event.starts_with("{\"id\"") {
            true => event,
            false => event.replacen('{', &format!("{{\"id\":\"hl-{n:05}\","), 1),
        };
        timed.into_iter().enumerate().map(with_id).collect()
    }
}

fn story() -> [(i64, String); 4] {
    let event = |chapter: usize, time: i64, rest: &str| {
        (
            time,
            format!(
                "{{\"id\":\"{}\",\"time\":\"{}\",{rest},\"tenant\":\"harbor-lane\"}}",
                STORY[chapter].id,
                Timestamp::from_micros(time)
            ),
        )
    };
    let at = |day: i64, hour: i64, minute: i64| {
        MONDAY_US + day * DAY_US + (hour * 60 + minute) * MINUTE_US + 17_250_000
    };
    [
        event(
            0,
            at(1, 16, 52),
            r#""action":"iam.role.granted","category":"permission","actor":{"type":"user","id":"u-kira","name":"Kira Petrova","roles":["operations"],"session_id":"s-u-kira-story"},"targets":[{"type":"user","id":"u-ben","name":"Ben Lindqvist"},{"type":"role","id":"admin"}],"outcome":{"result":"success"},"source":{"name":"idp","instance":"idp-1"},"context":{"ip":"10.20.5.51","request_id":"req-5107a1e0"},"changes":[{"path":"roles","op":"replace","old":["developer"],"new":["developer","admin"]}],"metadata":{"ticket":"OPS-2291","ticket_title":"Ben needs to deploy the billing service"}"#,
        ),
        event(
            1,
            at(2, 10, 14),
            r#""action":"secret.read","category":"access","actor":{"type":"user","id":"u-ben","name":"Ben Lindqvist","roles":["developer","admin"],"session_id":"s-u-ben-story"},"targets":[{"type":"secret","id":"billing/production/database-password"}],"outcome":{"result":"success"},"source":{"name":"vault","instance":"vault-1"},"context":{"ip":"10.20.1.12","request_id":"req-5107a1e1"},"metadata":{"allowed_by":"role admin"}"#,
        ),
        event(
            2,
            at(25, 23, 41),
            r#""action":"database.row.updated","category":"data","actor":{"type":"user","id":"u-ben","name":"Ben Lindqvist","roles":["developer","admin"],"session_id":"s-u-ben-unknown"},"targets":[{"type":"table","id":"billing.payout_accounts"},{"type":"row","id":"acct-0042","name":"Harbor Lane main payout account"}],"outcome":{"result":"success"},"source":{"name":"postgres-audit","instance":"billing-db-1"},"context":{"ip":"203.0.113.77","user_agent":"psql/16.2","request_id":"req-5107a1e2"},"changes":[{"path":"iban","op":"replace","old":"NL91ABNA0417164300","new":"LT601010012345678901"}]"#,
        ),
        event(
            3,
            at(26, 8, 5),
            r#""action":"iam.role.revoked","category":"permission","actor":{"type":"user","id":"u-priya","name":"Priya Sharma","roles":["security"],"session_id":"s-u-priya-story"},"targets":[{"type":"user","id":"u-ben","name":"Ben Lindqvist"},{"type":"role","id":"admin"}],"outcome":{"result":"success","reason":"payout account changed from an unknown address"},"source":{"name":"idp","instance":"idp-1"},"context":{"ip":"10.20.8.81","request_id":"req-5107a1e3"},"changes":[{"path":"roles","op":"replace","old":["developer","admin"],"new":["developer"]}]"#,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use indelible_event::{NATIVE, format_named};

    #[test]
    fn the_week_is_the_same_every_time_and_every_event_is_valid() {
        let week = Company::new(1).week();
        assert_eq!(week, Company::new(1).week());
        assert!((5000..8000).contains(&week.len()), "{}", week.len());
        let format = format_named(NATIVE).expect("the native format");
        let mut ids = std::collections::HashSet::new();
        for event in &week {
            let id = format.accept(event).unwrap_or_else(|e| panic!("{e}: {event}"));
            assert!(ids.insert(id.expect("an id").into_owned()));
        }
        assert!(STORY.iter().all(|chapter| ids.contains(chapter.id)));
        let bytes: usize = week.iter().map(String::len).sum();
        assert!(
            (450..600).contains(&(bytes / week.len())),
            "{} bytes an event",
            bytes / week.len()
        );
    }
}
