// SPDX-License-Identifier: MIT OR Apache-2.0

//! Limits of stages beside the slots of their entries.

use super::{
    code::Code,
    diagnostic::{Diagnostics, quoted},
    limitation::Places,
    processors::Processors,
};

/// Mentions limits that have no effect, and slots that always stay empty.
pub(super) fn check(processors: &Processors, limits: &Places, found: &mut Diagnostics) {
    for (stage, limit) in &processors.limitation.concurrent {
        let slots = processors.of_stage(*stage).map(|entry| entry.concurrent);
        // One entry without a bound takes any number of tasks.
        let Some(slots) = slots.collect::<Option<Vec<_>>>().filter(|slots| !slots.is_empty())
        else {
            continue;
        };
        let Some(span) = limits.get(stage).copied().filter(|_| *limit > 0) else { continue };
        let sum = slots.iter().fold(0_usize, |sum, n| sum.saturating_add(*n));
        let path = quoted(&format!("processors.limitation.concurrent.{stage}"));
        if *limit > sum && sum > 0 {
            let message = format!("{path} is {limit}, and the entries take {sum} at most");
            found.say(Code::LimitAbove, span, message);
        } else if *limit < sum {
            let message = format!("{path} is {limit}, and the entries could take {sum}");
            found.say(Code::LimitBelow, span, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::test::check_processors;

    fn check(limit: usize, entries: &[&str], said: &[&str]) {
        let entries: String =
            entries.iter().map(|keys| format!("[[processors.pc1]]\n{keys}\n")).collect();
        let text = format!("processors.limitation.concurrent.pc1 = {limit}\n{entries}");
        check_processors(&text, said);
    }

    const LIMIT: &str = "note 1:40 `processors.limitation.concurrent.pc1` is";

    #[test]
    fn a_limit_that_is_not_the_sum_of_the_slots_is_mentioned() {
        let two = ["concurrent = 14", "concurrent = 14"];
        check(28, &two, &[]);
        check(30, &two, &[&format!("{LIMIT} 30, and the entries take 28 at most")]);
        check(20, &two, &[&format!("{LIMIT} 20, and the entries could take 28")]);
    }

    #[test]
    fn entries_without_a_bound_take_any_limit() {
        check(28, &[], &[]);
        check(28, &["concurrent = 14", ""], &[]);
    }
}
