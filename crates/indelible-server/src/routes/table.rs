//! The one table of routes: what each asks of its caller and what it leaves in the
//! trail. The router is built from it, docs/permissions.md is generated from it, and
//! the tests walk it; a route that is not in it does not exist.

use crate::{
    access::{Permission, gate::gate},
    app::App,
    routes::{
        acts, append, counts, events, exports, grants, logs, proofs, search, search_logs, system,
        tlog, tokens, views,
    },
};
use axum::{
    Router, middleware,
    routing::{MethodRouter, delete, get, patch, post, put},
};
use indelible_api::Role;
use std::{fmt::Write as _, sync::Arc};

/// What a route leaves in the trail. A refusal is always recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailed {
    /// Nothing: it is in a log itself (an append, an act of control), or tells nothing.
    Never,
    /// A record for each answer.
    Each,
    /// A record for each answer and each log in it, written by the handler.
    ByLog,
    /// A record for the first, and the number of like ones for each minute.
    Counted,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path, with the parameters in braces.
    pub path: &'static str,
    /// What the caller must be allowed, on the log that the path names if it names one.
    pub permission: Permission,
    /// Whether anybody may, where the log is public.
    pub public: bool,
    /// What it leaves in the trail.
    pub trail: Trailed,
    /// Action of its records in the trail.
    pub action: &'static str,
    handler: fn() -> MethodRouter<Arc<App>>,
}

macro_rules! routes {
    ($($method:ident $path:literal $permission:ident $public:literal $trail:ident $action:literal $handler:path;)*) => {
        /// All routes.
        pub static ROUTES: &[Route] = &[$(Route {
            method: stringify!($method),
            path: $path,
            permission: Permission::$permission,
            public: $public,
            trail: Trailed::$trail,
            action: $action,
            handler: || routes!(@ $method $handler),
        }),*];
    };
    (@ GET $handler:path) => { get($handler) };
    (@ POST $handler:path) => { post($handler) };
    (@ PUT $handler:path) => { put($handler) };
    (@ PATCH $handler:path) => { patch($handler) };
    (@ DELETE $handler:path) => { delete($handler) };
}

routes! {
    GET "/v1/events" Known false ByLog "access.event.list" search_logs::search_logs;
    POST "/v1/count" Known false ByLog "access.event.count" counts::count_logs;
    POST "/v1/facets" Known false ByLog "access.event.facets" counts::facets_logs;
    POST "/v1/histogram" Known false ByLog "access.event.histogram" counts::histogram_logs;
    GET "/v1/logs" Known false Counted "access.log.list" logs::list_logs;
    POST "/v1/logs" Manage false Never "control.log.create" logs::create_log;
    GET "/v1/logs/{log}" Describe false Counted "access.log.read" logs::show_log;
    PATCH "/v1/logs/{log}" Manage false Never "control.log.change" logs::change_log;
    POST "/v1/logs/{log}/keys" Manage false Never "control.key.replace" logs::rotate_key;
    GET "/v1/logs/{log}/events" Read false Each "access.event.list" events::list_events;
    POST "/v1/logs/{log}/events" Append false Never "access.append" append::append_events;
    GET "/v1/logs/{log}/events/{record}" Read false Each "access.event.read" events::show_event;
    GET "/v1/logs/{log}/events/{record}/context" Read false Each "access.event.context" search::context;
    POST "/v1/logs/{log}/count" Read false Each "access.event.count" counts::count;
    POST "/v1/logs/{log}/facets" Read false Each "access.event.facets" counts::facets;
    POST "/v1/logs/{log}/histogram" Read false Each "access.event.histogram" counts::histogram;
    GET "/v1/logs/{log}/tail" Read false Each "access.event.tail" search::tail;
    GET "/v1/logs/{log}/exports" Read false Counted "access.export.list" exports::list_exports;
    POST "/v1/logs/{log}/exports" Read false Each "access.export" exports::start_export;
    GET "/v1/logs/{log}/exports/{export}" Read false Counted "access.export.read" exports::show_export;
    DELETE "/v1/logs/{log}/exports/{export}" Read false Each "access.export.delete" exports::delete_export;
    GET "/v1/logs/{log}/exports/{export}/file" Read false Each "access.export.download" exports::download_export;
    GET "/v1/logs/{log}/views" Read false Each "access.view.list" views::list_views;
    PUT "/v1/logs/{log}/views/{view}" Read false Never "control.view.save" views::save_view;
    DELETE "/v1/logs/{log}/views/{view}" Read false Never "control.view.delete" views::delete_view;
    GET "/v1/logs/{log}/records/{record}" Read false Each "access.record.read" events::show_record;
    GET "/v1/logs/{log}/attachments/{sha256}" Read false Each "access.attachment.read" events::show_attachment;
    GET "/v1/logs/{log}/receipts/{record}" Prove false Each "access.receipt.read" proofs::show_receipt;
    GET "/v1/logs/{log}/consistency" Describe true Counted "access.consistency.read" proofs::show_consistency;
    GET "/v1/logs/{log}/checkpoint" Describe true Counted "access.checkpoint.read" proofs::show_checkpoint;
    GET "/tlog/{log}/checkpoint" Describe true Counted "access.checkpoint.read" tlog::checkpoint;
    GET "/tlog/{log}/tile/{*path}" Prove true Counted "access.tile.read" tlog::tile;
    GET "/tlog/{log}/tile/entries/{*path}" Read false Each "access.bundle.read" tlog::bundle;
    POST "/tlog/{log}/add" Append false Never "access.append" tlog::add;
    GET "/v1/tokens" Manage false Each "access.token.list" tokens::list_tokens;
    POST "/v1/tokens" Manage false Never "control.token.issue" tokens::create_token;
    DELETE "/v1/tokens/{id}" Manage false Never "control.token.revoke" tokens::revoke_token;
    GET "/v1/grants" Manage false Each "access.grant.list" grants::list_grants;
    POST "/v1/grants" Manage false Never "control.grant.add" grants::add_grant;
    DELETE "/v1/grants/{id}" Manage false Never "control.grant.remove" grants::remove_grant;
    GET "/v1/pending" Manage false Each "access.pending.list" acts::list_pending;
    POST "/v1/pending/{id}/approve" Manage false Never "control.act.approve" acts::approve;
    POST "/v1/pending/{id}/reject" Manage false Never "control.act.reject" acts::reject;
    GET "/v1/policy" Manage false Each "access.policy.read" acts::show_policy;
    PUT "/v1/policy" Manage false Never "control.policy.change" acts::change_policy;
    GET "/v1/whoami" Known false Each "access.whoami" system::whoami;
    GET "/metrics" Observe false Never "access.metrics" system::metrics;
    GET "/healthz" Public false Never "" system::healthz;
    GET "/readyz" Public false Never "" system::readyz;
    GET "/openapi.json" Public false Never "" system::openapi;
}

/// The router of the table, every route behind its gate.
pub(crate) fn build(app: &Arc<App>) -> Router<Arc<App>> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        let gated = (route.handler)()
            .route_layer(middleware::from_fn_with_state((Arc::clone(app), route), gate));
        router.route(route.path, gated)
    })
}

/// docs/permissions.md.
#[must_use]
pub fn permissions_markdown() -> String {
    let mut text = String::from(
        "# Permissions\n\nGenerated from the table of routes (`crates/indelible-server/src/routes/table.rs`). Nothing is allowed that no grant allows; nobody can delete.\n\n## Roles\n\n| permission |",
    );
    let permissions = [
        (Permission::Append, "append events"),
        (Permission::Describe, "a log's name, size, keys, checkpoints, consistency proofs"),
        (Permission::Prove, "receipts and hash tiles"),
        (Permission::Read, "events, records, attachments, entry bundles"),
        (Permission::Manage, "logs, tokens, grants, policies, waiting acts"),
        (Permission::Observe, "metrics"),
    ];
    // Writing to a string does not fail.
    for role in Role::ALL {
        write!(text, " {role} |").unwrap_or_default();
    }
    text.push_str(" what |\n|---|---|---|---|---|---|---|\n");
    for (permission, what) in permissions {
        write!(text, "| {} |", permission.name()).unwrap_or_default();
        for role in Role::ALL {
            write!(text, " {} |", if permission.is_in(role) { "yes" } else { "" })
                .unwrap_or_default();
        }
        writeln!(text, " {what} |").unwrap_or_default();
    }
    text.push_str("\n`known`: any credential that works. `public`: anybody.\n\nThe system's logs `_access` and `_control` are matched by grants to auditors and verifiers only, with a pattern that begins with `_` or is `*`. An auditor of other logs sees in `_access` the accesses to those. Grants narrowed to a tenant show events of that tenant only, no entry bundles and no hash tiles.\n\n## Routes\n\n| route | permission | where the log is public | in the trail |\n|---|---|---|---|\n");
    for route in ROUTES {
        let trail = match route.trail {
            Trailed::Never => "refusals",
            Trailed::Each => "each",
            Trailed::ByLog => "each, for every log",
            Trailed::Counted => "first, and the count of a minute",
        };
        let public = if route.public { "anybody" } else { "" };
        writeln!(
            text,
            "| `{} {}` | {} | {public} | {trail} |",
            route.method,
            route.path,
            route.permission.name()
        )
        .unwrap_or_default();
    }
    text
}
