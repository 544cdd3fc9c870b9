//! Splitting a JSON document into events.

use crate::error::{ApiError, Result};
use indelible_api::Code;
use indelible_event::{Format, NATIVE, recognise};
use serde_json::value::RawValue;

/// Visits the events of a JSON document without holding more than one apart: an
/// array of ten million is refused at the limit, not parsed to its end.
pub(super) fn for_each_event(
    format: &'static dyn Format,
    text: &str,
    take: &mut impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    if text.starts_with('[') {
        return for_each_element(text, take);
    }
    // A container (a CloudTrail file, an EventList) of the format that was asked for.
    if format.name() != NATIVE
        && let Ok((found, events)) = recognise(text)
        && found.name() == format.name()
    {
        return events.into_iter().try_for_each(take);
    }
    take(text)
}

fn for_each_element(text: &str, take: &mut impl FnMut(&str) -> Result<()>) -> Result<()> {
    struct Elements<'a, F>(&'a mut F, &'a mut Option<ApiError>);
    impl<'de, F: FnMut(&str) -> Result<()>> serde::de::Visitor<'de> for Elements<'_, F> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array of events")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut elements: A,
        ) -> std::result::Result<(), A::Error> {
            while let Some(element) = elements.next_element::<&RawValue>()? {
                if let Err(error) = (self.0)(element.get()) {
                    *self.1 = Some(error);
                    return Err(serde::de::Error::custom("stopped"));
                }
            }
            Ok(())
        }
    }
    let mut refused = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed =
        serde::Deserializer::deserialize_seq(&mut deserializer, Elements(take, &mut refused))
            .and_then(|()| deserializer.end());
    match (parsed, refused) {
        (_, Some(error)) => Err(error),
        (Err(error), None) => {
            Err(ApiError::new(Code::InvalidJson, format!("not valid JSON: {error}")))
        }
        (Ok(()), None) => Ok(()),
    }
}
