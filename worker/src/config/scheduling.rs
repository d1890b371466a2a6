// SPDX-License-Identifier: MIT OR Apache-2.0

//! `[processors.scheduling]`: who goes first, and how many sectors are under way. damocles has none
//! of it.

use super::{
    code::Code,
    diagnostic::{Diagnostics, quoted},
    document::{Field, Section},
};
use crate::scheduler::{Cap, DEFAULT_OVERTAKES, Policy};

/// The keys.
const KEYS: &[&str] = &["overtakes", "policy", "sectors_in_flight"];

/// What the section says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// Who goes first where several stages wait for one lock.
    pub policy: Policy,
    /// Sectors that may have begun and not ended.
    pub sectors_in_flight: Cap,
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    LaterFirst,
    Fifo,
}

/// Reads the section of `[processors]`.
pub(super) fn read(processors: &Section<'_>, found: &mut Diagnostics) -> Scheduling {
    let mut scheduling = Scheduling::default();
    let mut word = Word::LaterFirst;
    let mut overtakes = None;
    let section = processors.field("scheduling").and_then(|field| field.section(found));
    for field in section.iter().flat_map(Section::fields) {
        match field.key {
            "policy" => {
                let words = &[("later-first", Word::LaterFirst), ("fifo", Word::Fifo)];
                word = field.choice(words, found).unwrap_or(word);
            }
            "overtakes" => {
                let count = field.count(found).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
                overtakes = count.map(|count| (count, field.key_span));
            }
            "sectors_in_flight" => {
                scheduling.sectors_in_flight = read_cap(&field, found).unwrap_or_default();
            }
            _ => field.unknown(KEYS, found),
        }
    }
    scheduling.policy = match (word, overtakes) {
        (Word::LaterFirst, count) => {
            Policy::LaterFirst { overtakes: count.map_or(DEFAULT_OVERTAKES, |(count, _)| count) }
        }
        (Word::Fifo, count) => {
            if let Some((_, span)) = count {
                let message = "`processors.scheduling.overtakes` has no effect with `fifo`";
                found.say(Code::NoEffect, span, message);
            }
            Policy::Fifo
        }
    };
    scheduling
}

/// A count, or a word.
fn read_cap(field: &Field<'_>, found: &mut Diagnostics) -> Option<Cap> {
    if field.string(&mut Diagnostics::default()).is_some() {
        return field.choice(&[("auto", Cap::Auto), ("unbounded", Cap::Unbounded)], found);
    }
    let count = field.count(found)?;
    if count == 0 {
        let message = format!("{} is 0: no sector ever begins", quoted(&field.path));
        found.say(Code::NoSectors, field.span(), message).hint =
            Some("leave the key out for the default, or write \"unbounded\"".to_owned());
    }
    Some(Cap::AtMost(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test::check_processors;

    fn check(keys: &str, policy: Policy, in_flight: Cap, said: &[&str]) {
        let text = format!("[processors.scheduling]\n{keys}");
        let read = check_processors(&text, said).scheduling;
        assert_eq!((read.policy, read.sectors_in_flight), (policy, in_flight), "{text}");
    }

    #[test]
    fn later_stages_go_first_unless_told_otherwise() {
        check("", Policy::LaterFirst { overtakes: DEFAULT_OVERTAKES }, Cap::Auto, &[]);
        let keys = "overtakes = 0\nsectors_in_flight = 40";
        check(keys, Policy::LaterFirst { overtakes: 0 }, Cap::AtMost(40), &[]);
        check("policy = \"fifo\"", Policy::Fifo, Cap::Auto, &[]);
    }

    #[test]
    fn the_cap_is_a_count_or_a_word() {
        let check = |value: &str, cap, said: &[&str]| {
            check(&format!("sectors_in_flight = {value}"), Policy::default(), cap, said);
        };
        check("\"auto\"", Cap::Auto, &[]);
        check("\"unbounded\"", Cap::Unbounded, &[]);
        check(
            "\"many\"",
            Cap::Auto,
            &[
                "error 2:21 `processors.scheduling.sectors_in_flight` is `many`, expected `auto` or \
               `unbounded`",
            ],
        );
        check(
            "true",
            Cap::Auto,
            &["error 2:21 `processors.scheduling.sectors_in_flight` is a boolean, expected an \
               integer of 0 or more"],
        );
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        check(
            "policy = \"fifo\"\novertakes = 2\nsectors_in_flight = 0\npolice = 1",
            Policy::Fifo,
            Cap::AtMost(0),
            &[
                "note 3:1 `processors.scheduling.overtakes` has no effect with `fifo`",
                "error 4:21 `processors.scheduling.sectors_in_flight` is 0: no sector ever begins",
                "warning 5:1 unknown key `processors.scheduling.police` is ignored",
            ],
        );
    }
}
