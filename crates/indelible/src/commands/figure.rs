//! What a measurement says.

use serde::Serialize;

/// One line of the result.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// All of them, in the order of their measurement.
pub(crate) type Figures = Vec<Figure>;

/// A line of the result.
pub(crate) fn figure(name: &str, value: f64, unit: &'static str, note: Option<String>) -> Figure {
    Figure { name: name.to_owned(), value, unit, note }
}
