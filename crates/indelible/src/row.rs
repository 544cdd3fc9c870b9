//! An event on one line.

use crate::{
    moment::moment,
    output::{self, BAD, FAINT, GOOD, STRONG},
};
use indelible_api::EventView;
use indelible_event::Value;

/// One event on one line.
pub(crate) fn print_row(view: &EventView, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return output::json(view);
    }
    print_row_of("", view);
    Ok(())
}

/// The same, with something before it.
pub(crate) fn print_row_of(before: &str, view: &EventView) {
    let text = |pointer: &str| view.event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    let actor = view
        .event
        .pointer("/actor/name")
        .and_then(Value::as_str)
        .unwrap_or_else(|| text("/actor/id"));
    let target = match view.event.pointer("/targets/0") {
        Some(_) => format!("{} {}", text("/targets/0/type"), text("/targets/0/id")),
        None => String::new(),
    };
    let result = text("/outcome/result");
    let style = match result {
        "success" => GOOD,
        "denied" | "failure" => BAD,
        _ => FAINT,
    };
    let time = moment(text("/time"));
    output::row(&format!(
        "{FAINT}{before}{:>8}{FAINT:#}  {time}  {style}{result:8}{style:#}  {actor}  {STRONG}{}{STRONG:#}  {target}",
        view.index,
        text("/action"),
    ));
}
