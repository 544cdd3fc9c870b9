//! The OpenAPI document, generated from the handlers and the wire types.

use crate::routes::{
    acts, append, counts, events, exports, grants, logs, proofs, search, search_logs, system, tlog,
    tokens, views,
};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "indelible",
        description = "An immutable audit log that anyone can check. Every error is an ErrorBody; its codes are in docs/errors.md.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        logs::list_logs,
        logs::create_log,
        logs::show_log,
        logs::change_log,
        logs::rotate_key,
        append::append_events,
        events::list_events,
        events::show_event,
        events::show_record,
        search::context,
        counts::count,
        counts::facets,
        counts::histogram,
        search::tail,
        search_logs::search_logs,
        counts::count_logs,
        counts::facets_logs,
        counts::histogram_logs,
        exports::delete_export,
        exports::download_export,
        exports::list_exports,
        exports::show_export,
        exports::start_export,
        views::list_views,
        views::save_view,
        views::delete_view,
        events::show_attachment,
        proofs::show_receipt,
        proofs::show_consistency,
        proofs::show_checkpoint,
        tlog::checkpoint,
        tlog::tile,
        tlog::bundle,
        tlog::add,
        tokens::list_tokens,
        tokens::create_token,
        tokens::revoke_token,
        grants::list_grants,
        grants::add_grant,
        grants::remove_grant,
        acts::list_pending,
        acts::approve,
        acts::reject,
        acts::show_policy,
        acts::change_policy,
        system::whoami,
        system::healthz,
        system::readyz,
        system::metrics,
        system::openapi,
    )
)]
struct Document;

/// The document as JSON.
#[must_use]
pub fn openapi_json() -> String {
    Document::openapi().to_pretty_json().unwrap_or_default()
}
