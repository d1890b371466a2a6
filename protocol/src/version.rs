// SPDX-License-Identifier: MIT OR Apache-2.0

//! Protocol versions and their negotiation.
//!
//! The version of the protocol moves on its own and is never tied to a crate's.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// `MAJOR.MINOR`. A minor version only adds; a major one may break.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    /// Grows when something breaks.
    pub major: u32,
    /// Grows when something is added.
    pub minor: u32,
}

impl Version {
    /// The version that this crate speaks.
    pub const V1_0: Self = Self { major: 1, minor: 0 };

    /// All versions that this crate speaks.
    pub const SUPPORTED: &'static [Self] = &[Self::V1_0];
}

/// The highest version that both sides speak, or `None`.
pub fn negotiate(offered: &[Version], supported: &[Version]) -> Option<Version> {
    offered.iter().filter(|v| supported.contains(v)).max().copied()
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("expected a version MAJOR.MINOR such as \"1.0\", got {text:?}");
        let (major, minor) = text.split_once('.').ok_or_else(invalid)?;
        let number = |digits: &str| {
            let canonical = digits == "0" || !digits.starts_with('0');
            let plain = canonical && digits.bytes().all(|b| b.is_ascii_digit());
            if plain { digits.parse().map_err(|_| invalid()) } else { Err(invalid()) }
        };
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Version {
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A version, MAJOR.MINOR.",
            "type": "string",
            "pattern": "^(0|[1-9][0-9]{0,4})\\.(0|[1-9][0-9]{0,4})$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(text: &str) -> Vec<Version> {
        text.split_whitespace().map(|v| v.parse().unwrap()).collect()
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        let check = |offered: &str, supported: &str, chosen: Option<&str>| {
            let got = negotiate(&versions(offered), &versions(supported));
            assert_eq!(got.map(|v| v.to_string()).as_deref(), chosen, "{offered} | {supported}");
        };
        check("1.0", "1.0", Some("1.0"));
        check("1.0 1.1 2.0", "1.0 1.1", Some("1.1"));
        check("1.10 1.9", "1.9 1.10", Some("1.10"));
        check("2.0", "1.0", None);
        check("", "1.0", None);
    }

    #[test]
    fn a_version_is_two_plain_numbers() {
        for bad in ["", "1", "1.", ".1", "1.0.0", "v1.0", "+1.0", "01.0", "1.00", "1.99999999999"] {
            bad.parse::<Version>().unwrap_err();
        }
    }
}
