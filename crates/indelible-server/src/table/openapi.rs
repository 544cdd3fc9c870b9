//! The OpenAPI document: what the handlers of the table say of themselves.

use utoipa::{
    OpenApi,
    openapi::{RefOr, path::Paths, schema::Schema},
};

#[derive(OpenApi)]
#[openapi(info(
    title = "indelible",
    description = "An immutable audit log that anyone can check. Every error is an ErrorBody; its codes are in docs/errors.md.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

/// What one handler says of itself: the schemas of its bodies, and its operation.
pub(super) type Part = (Vec<(String, RefOr<Schema>)>, Paths);

/// The document as JSON.
pub(super) fn document(parts: impl Iterator<Item = Part>) -> String {
    let mut document = Document::openapi();
    let mut components = document.components.take().unwrap_or_default();
    for (schemas, paths) in parts {
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
