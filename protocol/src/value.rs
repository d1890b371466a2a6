// SPDX-License-Identifier: MIT OR Apache-2.0

//! Values as they look on the wire: hex for 32 bytes, base64 for other bytes, ids.

use std::{borrow::Cow, fmt, marker::PhantomData, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::INLINE_VALUE_BYTES;

/// 32 bytes as 64 lower-case hex digits: commitments, replica ids, prover ids, tickets and seeds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes32(pub [u8; 32]);

/// Why a text is not [`Bytes32`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 lower-case hex digits, got {0}")]
pub struct InvalidBytes32(String);

impl FromStr for Bytes32 {
    type Err = InvalidBytes32;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 64 {
            return Err(InvalidBytes32(format!("{} characters", text.chars().count())));
        }
        if let Some(odd) = text.chars().find(|c| !matches!(c, '0'..='9' | 'a'..='f')) {
            return Err(InvalidBytes32(format!("the character {odd:?}")));
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|e| InvalidBytes32(e.to_string()))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Bytes32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Bytes32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Bytes32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Bytes32 {
    fn schema_name() -> Cow<'static, str> {
        "Bytes32".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "32 bytes as lower-case hex digits.",
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
        })
    }
}

/// Bytes of any length as padded base64 (RFC 4648, section 4), at most
/// [`INLINE_VALUE_BYTES`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Base64(pub Vec<u8>);

impl fmt::Debug for Base64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64({} bytes)", self.0.len())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = STANDARD
            .decode(text.as_bytes())
            .map_err(|e| D::Error::custom(format!("not base64: {e}")))?;
        if bytes.len() > INLINE_VALUE_BYTES {
            return Err(D::Error::custom(format!(
                "{} bytes, but what is larger than {INLINE_VALUE_BYTES} travels as a file",
                bytes.len()
            )));
        }
        Ok(Self(bytes))
    }
}

impl JsonSchema for Base64 {
    fn schema_name() -> Cow<'static, str> {
        "Base64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes as padded base64 (RFC 4648, section 4).",
            "type": "string",
            "contentEncoding": "base64",
            "maxLength": INLINE_VALUE_BYTES.div_ceil(3) * 4,
        })
    }
}

/// Name of a task, chosen by the worker and stable over its retries. Up to 128 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// Longest task id, in characters.
    pub const MAX_CHARS: usize = 128;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TaskId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let n_chars = text.chars().count();
        if n_chars == 0 || n_chars > Self::MAX_CHARS {
            return Err(format!(
                "a task id has 1 to {} characters, got {n_chars}",
                Self::MAX_CHARS
            ));
        }
        Ok(Self(text))
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> String {
        id.0
    }
}

impl JsonSchema for TaskId {
    fn schema_name() -> Cow<'static, str> {
        "TaskId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Name of a task, chosen by the worker and stable over its retries.",
            "type": "string",
            "minLength": 1,
            "maxLength": Self::MAX_CHARS,
        })
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a member from an object only. What serde derives reads a struct from an array as well, its
/// members in order.
///
/// # Errors
/// What the reader says.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<T, D::Error> {
    Object::deserialize(reader).map(|object| object.0)
}

/// Reads an array of objects: see [`object`].
///
/// # Errors
/// What the reader says.
pub fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    reader: D,
) -> Result<Vec<T>, D::Error> {
    Vec::deserialize(reader).map(|all| all.into_iter().map(|object: Object<T>| object.0).collect())
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        reader.deserialize_map(Members(PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes32_are_lower_case_hex_and_nothing_else() {
        let text = "00ff".repeat(16);
        assert_eq!(text.parse::<Bytes32>().unwrap().to_string(), text);
        for (bad, why) in [
            ("00", "got 2 characters"),
            (&"00FF".repeat(16), "got the character 'F'"),
            (&format!("0x{}", "00".repeat(31)), "got the character 'x'"),
        ] {
            assert!(bad.parse::<Bytes32>().unwrap_err().to_string().ends_with(why), "{bad}");
        }
        serde_json::from_str::<Bytes32>("[1,2]").unwrap_err();
    }

    #[test]
    fn an_object_is_not_read_from_an_array() {
        #[derive(Deserialize, PartialEq, Debug)]
        struct Pair {
            a: u32,
            #[serde(default)]
            b: u32,
        }
        #[derive(Deserialize)]
        struct Holder {
            #[serde(deserialize_with = "object")]
            one: Pair,
            #[serde(default, deserialize_with = "objects")]
            many: Vec<Pair>,
        }
        let read = serde_json::from_str::<Holder>;
        let held = read(r#"{"one":{"a":1,"x":2},"many":[{"a":3,"b":4}]}"#).unwrap();
        assert_eq!((held.one, held.many), (Pair { a: 1, b: 0 }, vec![Pair { a: 3, b: 4 }]));
        for odd in [r#"{"one":[1,2]}"#, r#"{"one":[]}"#, r#"{"one":{"a":1},"many":[[1,2]]}"#] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn base64_is_padded() {
        assert_eq!(serde_json::to_string(&Base64(b"seal".to_vec())).unwrap(), "\"c2VhbA==\"");
        assert_eq!(serde_json::from_str::<Base64>("\"c2VhbA==\"").unwrap().0, b"seal");
        serde_json::from_str::<Base64>("\"c2VhbA\"").unwrap_err();
    }

    #[test]
    fn a_task_id_is_neither_empty_nor_endless() {
        TaskId::try_from(String::new()).unwrap_err();
        TaskId::try_from("é".repeat(129)).unwrap_err();
        TaskId::try_from("é".repeat(128)).unwrap();
    }
}
