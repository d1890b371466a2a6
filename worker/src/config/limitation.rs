// SPDX-License-Identifier: MIT OR Apache-2.0

//! `[processors.limitation]`: how many tasks of a stage run at once, and how far apart they start.
//!
//! Also reads `[processors.limit]`, the older name of `limitation.concurrent`.

use std::{collections::BTreeMap, time::Duration};

use sealpipe_protocol::Stage;

use super::{
    code::Code,
    diagnostic::{Diagnostics, quoted},
    document::{Field, Section},
    source::Span,
    stage_name::{self, Known},
};

/// A shorter interval between starts is dropped, as in damocles.
pub const MIN_STAGGER: Duration = Duration::from_secs(1);

/// Limits of a stage over all of its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limitation {
    /// Tasks of the stage that may run at once; no limit for a stage that is not named. 0 switches
    /// the stage off: its tasks wait until that is changed.
    pub concurrent: BTreeMap<Stage, usize>,
    /// A task of the stage starts no earlier than this after the start of the one before it.
    pub staggered: BTreeMap<Stage, Duration>,
}

/// Where the limits of stages stand.
pub(super) type Places = BTreeMap<Stage, Span>;

/// Reads `limitation` and `limit` of `[processors]`.
pub(super) fn read(processors: &Section<'_>, found: &mut Diagnostics) -> (Limitation, Places) {
    let mut limitation = Limitation::default();
    let mut concurrent = None;
    let section = processors.field("limitation").and_then(|field| field.section(found));
    for field in section.iter().flat_map(Section::fields) {
        match field.key {
            "concurrent" => concurrent = Some(counts(&field, found)),
            "staggered" => limitation.staggered = intervals(&field, found),
            _ => field.unknown(&["concurrent", "staggered"], found),
        }
    }
    if let Some(field) = processors.field("limit") {
        let deprecated = counts(&field, found);
        if concurrent.is_some() {
            let message =
                "`processors.limit` is ignored: `processors.limitation.concurrent` is set";
            found.say(Code::OldLimitIgnored, field.key_span, message).hint =
                Some("move its limits to `processors.limitation.concurrent`".to_owned());
        } else {
            let message = "`processors.limit` is deprecated";
            found.say(Code::OldLimit, field.key_span, message).hint =
                Some("call it `processors.limitation.concurrent`".to_owned());
            concurrent = Some(deprecated);
        }
    }
    let counts = concurrent.unwrap_or_default();
    let places = counts.iter().map(|(stage, (_, span))| (*stage, *span)).collect();
    limitation.concurrent = counts.into_iter().map(|(stage, (n, _))| (stage, n)).collect();
    (limitation, places)
}

fn counts(field: &Field<'_>, found: &mut Diagnostics) -> BTreeMap<Stage, (usize, Span)> {
    let mut counts = BTreeMap::new();
    for (stage, field) in by_stage(field, found) {
        if let Some(count) = field.count(found) {
            if count == 0 {
                let message = format!("{} is 0: the stage is switched off", quoted(&field.path));
                found.say(Code::StageOff, field.span(), message).hint =
                    Some("leave the limit out for no limit".to_owned());
            }
            counts.insert(stage, (count, field.span()));
        }
    }
    counts
}

fn intervals(field: &Field<'_>, found: &mut Diagnostics) -> BTreeMap<Stage, Duration> {
    let mut intervals = BTreeMap::new();
    for (stage, field) in by_stage(field, found) {
        let Some(interval) = field.duration(found) else { continue };
        if interval < MIN_STAGGER {
            let message = format!("{} is shorter than 1s and dropped", quoted(&field.path));
            found.say(Code::ShortInterval, field.span(), message);
        } else {
            intervals.insert(stage, interval);
        }
    }
    intervals
}

/// The fields of a table whose keys are stages; those of no stage that is served are mentioned.
fn by_stage<'a>(field: &Field<'a>, found: &mut Diagnostics) -> Vec<(Stage, Field<'a>)> {
    let mut fields = Vec::new();
    for field in field.section(found).iter().flat_map(Section::fields) {
        match stage_name::known(field.key) {
            Known::Served(stage) => fields.push((stage, field)),
            Known::NotServed => {
                let message = format!(
                    "{} is skipped: sealpipe does not serve this stage",
                    quoted(&field.path)
                );
                found.say(Code::NotServed, field.key_span, message);
            }
            Known::Not => field.unknown(&stage_name::served(), found),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use crate::config::test::check_processors;

    fn check(text: &str, concurrent: &str, staggered: &str, said: &[&str]) {
        let processors = check_processors(text, said);
        assert_eq!(format!("{:?}", processors.limitation.concurrent), concurrent, "{text}");
        assert_eq!(format!("{:?}", processors.limitation.staggered), staggered, "{text}");
    }

    #[test]
    fn limits_are_by_stage() {
        check(
            "[processors.limitation.concurrent]\npc1 = 28\nc2 = 1",
            "{Pc1: 28, C2: 1}",
            "{}",
            &[],
        );
        check("processors.limitation.concurrent = { pc2 = 2 }", "{Pc2: 2}", "{}", &[]);
        check("[processors.limitation.staggered]\npc1 = \"5min\"", "{}", "{Pc1: 300s}", &[]);
    }

    #[test]
    fn zero_is_kept_and_warned_about() {
        check(
            "processors.limitation.concurrent.pc1 = 0",
            "{Pc1: 0}",
            "{}",
            &[
                "warning 1:40 `processors.limitation.concurrent.pc1` is 0: the stage is switched off",
            ],
        );
    }

    #[test]
    fn the_old_name_counts_only_when_the_new_one_is_absent_as_a_whole() {
        check(
            "[processors.limit]\npc1 = 3\n[processors.limitation.staggered]\npc1 = \"1m\"",
            "{Pc1: 3}",
            "{Pc1: 60s}",
            &["warning 1:13 `processors.limit` is deprecated"],
        );
        check(
            "[processors.limit]\npc1 = 3\n[processors.limitation.concurrent]\npc2 = 1",
            "{Pc2: 1}",
            "{}",
            &[
                "warning 1:13 `processors.limit` is ignored: `processors.limitation.concurrent` is set",
            ],
        );
    }

    #[test]
    fn a_short_stagger_is_dropped() {
        check(
            "processors.limitation.staggered.pc1 = \"999ms\"",
            "{}",
            "{}",
            &["warning 1:39 `processors.limitation.staggered.pc1` is shorter than 1s and dropped"],
        );
        check("processors.limitation.staggered.pc1 = \"1s\"", "{}", "{Pc1: 1s}", &[]);
    }

    #[test]
    fn stages_that_are_not_served_are_skipped_and_unknown_ones_warned_about() {
        check(
            "[processors.limitation.concurrent]\nsnap_encode = 1\npc3 = 2\nverify = 1",
            "{Verify: 1}",
            "{}",
            &[
                "note 2:1 `processors.limitation.concurrent.snap_encode` is skipped: sealpipe does \
                 not serve this stage",
                "warning 3:1 unknown key `processors.limitation.concurrent.pc3` is ignored",
            ],
        );
    }

    #[test]
    fn wrong_types_are_errors() {
        check(
            "[processors.limitation]\nconcurrent = 3\nstaggered = { pc1 = 5, pc2 = \"soon\" }",
            "{}",
            "{}",
            &[
                "error 2:14 `processors.limitation.concurrent` is an integer, expected a table",
                "error 3:21 `processors.limitation.staggered.pc1` is an integer, expected a \
                 duration such as \"5s\" or \"1h 30min\"",
                "error 3:30 `processors.limitation.staggered.pc2` is `soon`, expected a duration \
                 such as \"5s\" or \"1h 30min\": expected number at 0",
            ],
        );
        check(
            "processors.limitation.concurrent.pc1 = -1",
            "{}",
            "{}",
            &["error 1:40 `processors.limitation.concurrent.pc1` is -1, expected 0 or more"],
        );
    }
}
