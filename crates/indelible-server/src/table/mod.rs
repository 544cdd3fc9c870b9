//! The one table of routes: what each asks of its caller and what it leaves in the
//! trail. Method and path stand at the handler and nowhere else. The router is built from
//! this table, docs/permissions.md and docs/openapi.json are generated from it, and the
//! tests walk it; a route that is not in it does not exist.

mod openapi;

use crate::{
    access::Permission,
    app::App,
    http::{
        gate::gate,
        rule::{Rule, Trailed},
    },
    routes::{
        acts, append, counts, events, exports, grants, logs, proofs, search, search_logs, system,
        tlog, tokens, views,
    },
};
use axum::{Extension, Router, middleware};
use indelible_api::Role;
use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};
use utoipa_axum::router::UtoipaMethodRouter;

/// One route: its rule, and who answers.
#[derive(Debug)]
pub struct Route {
    /// What it asks and leaves.
    pub rule: Rule,
    /// The handler, with what it says of itself.
    handler: fn() -> UtoipaMethodRouter<Arc<App>>,
}

impl Route {
    fn new(
        permission: Permission,
        public: bool,
        trail: Trailed,
        action: &'static str,
        handler: fn() -> UtoipaMethodRouter<Arc<App>>,
    ) -> Self {
        let (_, described, _) = handler();
        let (path, item) = described.paths.into_iter().next().unwrap_or_default();
        let methods = [
            (item.get.is_some(), "GET"),
            (item.post.is_some(), "POST"),
            (item.put.is_some(), "PUT"),
            (item.patch.is_some(), "PATCH"),
        ];
        let method = methods.into_iter().find(|(is, _)| *is).map_or("DELETE", |(_, method)| method);
        // The rest of a tile's path is several segments. Made once, kept for ever.
        let path: &str = path.replace("{path}", "{*path}").leak();
        Self { rule: Rule { method, path, permission, public, trail, action }, handler }
    }
}

macro_rules! table {
    ($($permission:ident $public:literal $trail:ident $action:literal $handler:path;)*) => {
        /// All routes.
        pub static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| vec![$(Route::new(
            Permission::$permission,
            $public,
            Trailed::$trail,
            $action,
            || utoipa_axum::routes!($handler),
        )),*]);
    };
}

table! {
    Known false ByLog "access.event.list" search_logs::search_logs;
    Known false ByLog "access.event.count" counts::count_logs;
    Known false ByLog "access.event.facets" counts::facets_logs;
    Known false ByLog "access.event.histogram" counts::histogram_logs;
    Known false Counted "access.log.list" logs::list_logs;
    Manage false Never "control.log.create" logs::create_log;
    Describe false Counted "access.log.read" logs::show_log;
    Manage false Never "control.log.change" logs::change_log;
    Manage false Never "control.key.replace" logs::rotate_key;
    Read false Each "access.event.list" events::list_events;
    Append false Never "access.append" append::append_events;
    Read false Each "access.event.read" events::show_event;
    Read false Each "access.event.context" search::context;
    Read false Each "access.event.count" counts::count;
    Read false Each "access.event.facets" counts::facets;
    Read false Each "access.event.histogram" counts::histogram;
    Read false Each "access.event.tail" search::tail;
    Read false Counted "access.export.list" exports::list_exports;
    Read false Each "access.export" exports::start_export;
    Read false Counted "access.export.read" exports::show_export;
    Read false Each "access.export.delete" exports::delete_export;
    Read false Each "access.export.download" exports::download_export;
    Read false Each "access.view.list" views::list_views;
    Read false Never "control.view.save" views::save_view;
    Read false Never "control.view.delete" views::delete_view;
    Read false Each "access.record.read" events::show_record;
    Read false Each "access.attachment.read" events::show_attachment;
    Prove false Each "access.receipt.read" proofs::show_receipt;
    Describe true Counted "access.consistency.read" proofs::show_consistency;
    Describe true Counted "access.checkpoint.read" proofs::show_checkpoint;
    Describe true Counted "access.checkpoint.read" tlog::checkpoint;
    Prove true Counted "access.tile.read" tlog::tile;
    Read false Each "access.bundle.read" tlog::bundle;
    Append false Never "access.append" tlog::add;
    Manage false Each "access.token.list" tokens::list_tokens;
    Manage false Never "control.token.issue" tokens::create_token;
    Manage false Never "control.token.revoke" tokens::revoke_token;
    Manage false Each "access.grant.list" grants::list_grants;
    Manage false Never "control.grant.add" grants::add_grant;
    Manage false Never "control.grant.remove" grants::remove_grant;
    Manage false Each "access.pending.list" acts::list_pending;
    Manage false Never "control.act.approve" acts::approve;
    Manage false Never "control.act.reject" acts::reject;
    Manage false Each "access.policy.read" acts::show_policy;
    Manage false Never "control.policy.change" acts::change_policy;
    Known false Each "access.whoami" system::whoami;
    Observe false Never "access.metrics" system::metrics;
    Observe false Never "access.status" system::status;
    Public false Never "" system::healthz;
    Public false Never "" system::readyz;
    Public false Never "" system::openapi;
}

/// The OpenAPI document: what the handlers say of themselves, JSON.
#[must_use]
pub fn openapi_json() -> String {
    openapi::document(ROUTES.iter().map(|route| {
        let (schemas, paths, _) = (route.handler)();
        (schemas, paths)
    }))
}

/// The router of the table, every route behind its gate.
pub(crate) fn build(app: &Arc<App>) -> Router<Arc<App>> {
    let document = system::Described(openapi_json().into());
    ROUTES.iter().fold(Router::new(), |router, route| {
        let (_, _, mut handler) = (route.handler)();
        if route.rule.path == "/openapi.json" {
            handler = handler.layer(Extension(document.clone()));
        }
        let gated = handler
            .route_layer(middleware::from_fn_with_state((Arc::clone(app), &route.rule), gate));
        router.route(route.rule.path, gated)
    })
}

/// docs/permissions.md.
#[must_use]
pub fn permissions_markdown() -> String {
    let mut text = String::from(
        "# Permissions\n\nGenerated from the table of routes (`crates/indelible-server/src/table/mod.rs`). Nothing is allowed that no grant allows; nobody can delete.\n\n## Roles\n\n| permission |",
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
    for Route { rule, .. } in ROUTES.iter() {
        let trail = match rule.trail {
            Trailed::Never => "refusals",
            Trailed::Each => "each",
            Trailed::ByLog => "each, for every log",
            Trailed::Counted => "first, and the count of a minute",
        };
        let public = if rule.public { "anybody" } else { "" };
        writeln!(
            text,
            "| `{} {}` | {} | {public} | {trail} |",
            rule.method,
            rule.path,
            rule.permission.name()
        )
        .unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::rule::{BUNDLE, HASHES};

    #[test]
    fn tiles_have_the_rules_that_the_gate_goes_by() {
        for rule in [BUNDLE, HASHES] {
            assert!(ROUTES.iter().any(|route| route.rule == rule), "{rule:?}");
        }
    }
}
