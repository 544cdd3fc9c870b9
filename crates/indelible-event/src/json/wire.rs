//! Values as parts of what serde reads and writes as JSON. They pass through
//! [`RawValue`], which keeps them as they are where nothing stands between them and a
//! text: not through `flatten` or `untagged`, and a `serde_json::Value` has changed them
//! before.

use super::{Map, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser, ser::SerializeMap as _};
use serde_json::value::RawValue;

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Value::parse(text.get()).map(Value::into_owned).map_err(de::Error::custom)
    }
}

impl Serialize for Map<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}
