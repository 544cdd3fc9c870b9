//! The OpenAPI document: what the handlers of the table say of themselves.

use super::ROUTES;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(info(
    title = "indelible",
    description = "An immutable audit log that anyone can check. Every error is an ErrorBody; its codes are in docs/errors.md.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

/// The document as JSON.
#[must_use]
pub fn openapi_json() -> String {
    let mut document = Document::openapi();
    let mut components = document.components.take().unwrap_or_default();
    for route in ROUTES.iter() {
        let (schemas, paths, _) = (route.handler)();
        components.schemas.extend(schemas);
        for (path, item) in paths.paths {
            match document.paths.paths.get_mut(&path) {
                Some(known) => known.merge_operations(item),
                None => drop(document.paths.paths.insert(path, item)),
            }
        }
    }
    document.components = Some(components);
    document.to_pretty_json().unwrap_or_default()
}
