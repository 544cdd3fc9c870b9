//! Costs of steps that cannot be seen from outside, for `indelible bench`.

use crate::{
    access::{Decision, Permission, decide, token},
    control::{event::Decoded, fold::Control, token::TokenIssued},
};
use indelible_api::{Grant, Role};
use indelible_event::Timestamp;
use std::time::{Duration, Instant};

/// Mean time to find the principal of a token and to decide whether it may read a log,
/// where `tokens` tokens of ten grants each are in force.
///
/// # Errors
/// When the system gives no random bytes.
pub fn access_cost(tokens: u32, rounds: u32) -> Result<Duration, String> {
    let mut control = Control::default();
    let now = Timestamp::from_micros(0);
    let mut last = None;
    for n in 0..tokens {
        let secret = token::Secret::generate().map_err(|e| e.to_string())?;
        let grants = (0..10).map(|k| {
            let role = if k == 9 { Role::Reader } else { Role::Writer };
            (format!("g-{n}-{k}"), Grant::new(role, &format!("log-{k}")))
        });
        let issued = TokenIssued {
            token: secret.id().to_owned(),
            name: format!("token {n}"),
            sha256: secret.sha256(),
            expires_at: Some(Timestamp::from_micros(32_000_000_000_000_000)),
            grants: grants.collect(),
        };
        let (principal, change) = ("system".to_owned(), issued.into());
        let event = Decoded { time: now, principal, reason: None, change };
        control.apply(&event).map_err(|e| e.to_string())?;
        last = Some(secret);
    }
    let text = last.as_ref().map_or("", |secret| secret.reveal());
    let started = Instant::now();
    for _ in 0..rounds {
        let principal = token::authenticate(&control, std::hint::black_box(text), now)
            .map_err(|(refusal, _)| refusal.reason().to_owned())?;
        let decision = decide(&control, &principal, Permission::Read, "log-9", now);
        if !matches!(decision, Decision::Allowed(_)) {
            return Err("the decision is wrong".to_owned());
        }
    }
    Ok(started.elapsed() / rounds.max(1))
}
