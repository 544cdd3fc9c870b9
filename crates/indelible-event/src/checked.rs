//! JSON that is read only to know that it can be read: bounded nesting, no member twice.
//! serde's `IgnoredAny` checks neither.

use crate::json::check;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Any JSON value, checked and dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked;

/// Any JSON string, checked and dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckedStr;

/// Any JSON object, checked and dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object;

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match raw(deserializer)?.starts_with('{') {
            true => Ok(Self),
            false => Err(D::Error::custom("expected an object")),
        }
    }
}

/// Declares the shape of an object: a struct whose named members are read, each at
/// most once, and whose other members are [`Checked`]. Unlike `serde(flatten)` it
/// buffers nothing. `null` counts as absent.
macro_rules! shape {
    ($lt:lifetime $name:ident($expecting:literal) {
        $($need:ident $field:ident: $key:literal => $type:ty,)*
    }) => {
        #[derive(Debug)]
        #[expect(dead_code, reason = "most members are only checked, never read")]
        struct $name<$lt> {
            $($field: Option<$type>,)*
            borrowed: std::marker::PhantomData<&$lt ()>,
        }

        impl<$lt> serde::Deserialize<$lt> for $name<$lt> {
            fn deserialize<D: serde::Deserializer<$lt>>(deserializer: D) -> Result<Self, D::Error> {
                struct ShapeVisitor;
                impl<$lt> serde::de::Visitor<$lt> for ShapeVisitor {
                    type Value = $name<$lt>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_map<A: serde::de::MapAccess<$lt>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        use serde::de::Error as _;
                        $(let mut $field: Option<Option<$type>> = None;)*
                        let mut others = crate::json::Names::default();
                        while let Some(name) = map.next_key::<crate::checked::BorrowedStr<$lt>>()? {
                            match name.0.as_ref() {
                                $($key => {
                                    let value = map.next_value()?;
                                    if $field.replace(value).is_some() {
                                        return Err(A::Error::custom(concat!("duplicate member \"", $key, "\"")));
                                    }
                                })*
                                _ => {
                                    others.insert(name.0).map_err(A::Error::custom)?;
                                    map.next_value::<crate::checked::Checked>()?;
                                }
                            }
                        }
                        Ok($name {
                            $($field: crate::checked::shape!(@take $need $field $key A),)*
                            borrowed: std::marker::PhantomData,
                        })
                    }
                }
                deserializer.deserialize_map(ShapeVisitor)
            }
        }
    };
    (@take optional $field:ident $key:literal $access:ident) => {
        $field.flatten()
    };
    (@take required $field:ident $key:literal $access:ident) => {
        Some($field.flatten().ok_or_else(|| $access::Error::missing_field($key))?)
    };
}
pub(crate) use shape;

/// The value's own text: `serde_json` turns numbers into floats, and refuses those that
/// are too large.
fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    check(raw.get()).map_err(|error| D::Error::custom(error.problem))?;
    Ok(raw.get())
}

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        raw(deserializer).map(|_| Self)
    }
}

/// A string that borrows from the input where it has no escapes.
#[derive(Debug, Default)]
pub(crate) struct BorrowedStr<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for BorrowedStr<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StrVisitor;
        impl<'de> Visitor<'de> for StrVisitor {
            type Value = BorrowedStr<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(BorrowedStr(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(BorrowedStr(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(StrVisitor)
    }
}

impl<'de> Deserialize<'de> for CheckedStr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StrVisitor;
        impl Visitor<'_> for StrVisitor {
            type Value = CheckedStr;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, _: &str) -> Result<CheckedStr, E> {
                Ok(CheckedStr)
            }
        }
        deserializer.deserialize_str(StrVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let check = |text: &str| serde_json::from_str::<Checked>(text);
        assert!(check(r#"{"a":[1,-2,3.5,"x\u00e9",null,true,{}]}"#).is_ok());
        assert!(check(&format!("{}{}", "[".repeat(127), "]".repeat(127))).is_ok());
        assert!(check(&"[".repeat(100_000)).is_err());
        for number in ["1e400", "-0", "0.10", "1E+05", &"9".repeat(10_000)] {
            assert!(check(number).is_ok(), "{number}");
        }
        assert!(check(r#""\ud800""#).is_err() && check(r#"{"a":"\udc00x"}"#).is_err());
        assert!(
            check(r#"{"a":1,"\u0061":2}"#)
                .unwrap_err()
                .to_string()
                .contains("duplicate member \"a\"")
        );
        let many: Vec<String> = (0..1000).map(|n| format!("\"k{n}\":{n}")).collect();
        assert!(check(&format!("{{{}}}", many.join(","))).is_ok());
        assert!(check(&format!("{{{},\"k500\":1}}", many.join(","))).is_err());
    }
}
