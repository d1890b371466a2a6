// SPDX-License-Identifier: MIT OR Apache-2.0

//! The codes of diagnostics: what each means, and what to do about it.
//!
//! A code keeps its number and its meaning for ever; one that is no longer said is not given to
//! another. The hundreds are groups. `docs/diagnostics.md` is made from [`Code::ALL`].

use std::fmt;

use super::diagnostic::Severity;

/// What is known about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Its number, such as `SP101`.
    pub id: &'static str,
    /// How much it matters, wherever it is said.
    pub severity: Severity,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub action: &'static str,
}

/// A group of codes, by the first digit of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The first digit.
    pub digit: char,
    /// What its codes are about.
    pub title: &'static str,
}

/// The groups, in the order of their digits.
pub const GROUPS: &[Group] = &[
    Group { digit: '0', title: "File and syntax" },
    Group { digit: '1', title: "Keys" },
    Group { digit: '2', title: "Values" },
    Group { digit: '3', title: "Machine" },
    Group { digit: '4', title: "Sharing" },
    Group { digit: '5', title: "Locks" },
    Group { digit: '6', title: "Limits" },
    Group { digit: '7', title: "Budgets" },
    Group { digit: '8', title: "Programs and files" },
];

impl Code {
    /// Its number.
    pub fn id(self) -> &'static str {
        self.about().id
    }

    /// How much it matters.
    pub fn severity(self) -> Severity {
        self.about().severity
    }

    /// The code of a number, in either case.
    pub fn of_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.id().eq_ignore_ascii_case(id.trim()))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

macro_rules! codes {
    ($($name:ident = $id:literal $severity:ident $title:literal, $meaning:literal, $action:literal;)*) => {
        /// What a diagnostic says, whatever its words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// All of them, by their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What is known about it.
            pub fn about(self) -> &'static About {
                match self {
                    $(Self::$name => &About {
                        id: $id,
                        severity: Severity::$severity,
                        title: $title,
                        meaning: $meaning,
                        action: $action,
                    },)*
                }
            }
        }
    };
}

mod table;

pub use table::Code;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_belong_to_a_group() {
        let ids: Vec<_> = Code::ALL.iter().map(|code| code.id()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        for id in ids {
            assert!(id.starts_with("SP") && id.len() == 5, "{id}");
            let digit = id.chars().nth(2).unwrap();
            assert!(GROUPS.iter().any(|group| group.digit == digit), "{id}");
        }
    }

    #[test]
    fn every_code_is_explained_in_sentences() {
        for code in Code::ALL {
            let About { id, title, meaning, action, .. } = code.about();
            assert!(title.len() < 60 && !title.ends_with('.'), "{id}: {title}");
            for text in [meaning, action] {
                assert!(text.len() > 20 && text.ends_with('.'), "{id}: {text}");
            }
        }
    }

    #[test]
    fn a_code_is_found_by_its_number() {
        assert_eq!(Code::of_id("SP101"), Some(Code::UnknownKey));
        assert_eq!(Code::of_id(" sp101 "), Some(Code::UnknownKey));
        assert_eq!(Code::of_id("SP999"), None);
    }
}
