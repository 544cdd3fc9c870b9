//! JSON that is read only to know that it can be read: bounded nesting, numbers in
//! range, no member twice. serde's `IgnoredAny` checks none of these.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::{borrow::Cow, collections::HashSet, fmt};

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
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object, A::Error> {
                CheckedVisitor.visit_map(map).map(|Checked| Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
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
                        let mut others = crate::checked::Names::default();
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

/// Member names up to which a plain scan finds duplicates faster than a set.
const SCAN_LIMIT: usize = 16;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor)
    }
}

struct CheckedVisitor;

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Checked, A::Error> {
        while seq.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
        let mut names = Names::default();
        while let Some(name) = map.next_key::<BorrowedStr<'de>>()? {
            names.insert(name.0).map_err(A::Error::custom)?;
            map.next_value::<Checked>()?;
        }
        Ok(Checked)
    }
}

/// The member names of one object.
#[derive(Default)]
pub(crate) struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    pub(crate) fn insert(&mut self, name: Cow<'a, str>) -> Result<(), String> {
        let duplicate = if self.few.len() < SCAN_LIMIT {
            let known = self.few.contains(&name);
            self.few.push(name.clone());
            known
        } else {
            if self.many.is_empty() {
                self.many.extend(self.few.iter().cloned());
            }
            !self.many.insert(name.clone())
        };
        if duplicate { Err(format!("duplicate member {name:?}")) } else { Ok(()) }
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
        assert!(check("1e400").is_err());
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
