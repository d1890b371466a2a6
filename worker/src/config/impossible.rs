// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stages and entries that can never run although nothing switched them off.
//!
//! A limit of 0, or `concurrent = 0` in every entry, says "off". Locks that let nobody through are a
//! mistake, and one that shows itself only when sectors pile up.

use sealpipe_protocol::Stage;

use super::{
    code::Code,
    diagnostic::{Diagnostics, quoted},
    entry::{CUDA_VISIBLE_DEVICES, Entry},
    placement::Device,
    processors::Processors,
};

/// Complains about each stage none of whose entries can ever take a task, and about entries that
/// must have a GPU and may see none.
pub(super) fn check(processors: &Processors, found: &mut Diagnostics) {
    check_stages(processors, found);
    for entry in processors.entries.iter().filter(|e| e.device == Some(Device::Cuda)) {
        if entry.gpus().is_some_and(|gpus| gpus.is_empty()) {
            let span = entry.positions.value(CUDA_VISIBLE_DEVICES);
            let message = "`CUDA_VISIBLE_DEVICES` hides every GPU, and the entry must have one";
            found.say(Code::HiddenGpu, span, message).hint =
                Some("name a GPU, or say `device = \"cpu\"`".to_owned());
        }
    }
}

fn check_stages(processors: &Processors, found: &mut Diagnostics) {
    for stage in Stage::ALL.iter().copied() {
        if processors.limitation.concurrent.get(&stage) == Some(&0) {
            continue;
        }
        let mut on = processors.of_stage(stage).filter(|entry| entry.concurrent != Some(0));
        let Some(first) = on.next() else { continue };
        let Some(lock) = closed_lock(first, processors) else { continue };
        if on.any(|entry| closed_lock(entry, processors).is_none()) {
            continue;
        }
        let lock_name = quoted(lock);
        let message =
            format!("`{stage}` can never run: its entries need locks of 0, here {lock_name}");
        found.say(Code::NeverRuns, first.positions.lock(lock), message).hint = Some(format!(
            "let the lock have a unit, or switch the stage off: `limitation.concurrent.{stage} = 0`"
        ));
    }
}

/// The first lock of an entry that nobody can ever hold.
fn closed_lock<'a>(entry: &'a Entry, processors: &Processors) -> Option<&'a String> {
    entry.locks.iter().find(|lock| processors.ext_locks.get(*lock) == Some(&0))
}

#[cfg(test)]
mod tests {
    use crate::config::{Severity, Source, parse};

    const LOCKS: &str = "[processors.ext_locks]\nopen = 1\nshut = 0\n";

    /// Compares the errors; what is 0 is warned about besides.
    fn check(text: &str, errors: &[&str]) {
        let parsed = parse(&Source::new("test", format!("{LOCKS}{text}")));
        let said = parsed.diagnostics().iter().filter(|d| d.severity() == Severity::Error);
        let said: Vec<_> =
            said.map(|d| format!("{} {}", d.span.unwrap().line, d.message)).collect();
        assert_eq!(said, errors, "{text}");
    }

    fn entries(locks: &[&str]) -> String {
        locks.iter().map(|lock| format!("[[processors.c2]]\nlocks = [{lock:?}]\n")).collect()
    }

    #[test]
    fn a_stage_whose_entries_all_need_a_lock_of_0_is_an_error() {
        let said = "can never run: its entries need locks of 0, here `shut`";
        check(&entries(&["shut"]), &[&format!("5 `c2` {said}")]);
        check(&entries(&["shut", "shut"]), &[&format!("5 `c2` {said}")]);
        check(&entries(&["shut", "open"]), &[]);
        check("[[processors.c2]]\nlocks = [\"open\", \"shut\"]", &[&format!("5 `c2` {said}")]);
    }

    #[test]
    fn an_entry_that_is_off_counts_for_nothing() {
        let off = "[[processors.c2]]\nconcurrent = 0\n";
        let said = "can never run: its entries need locks of 0, here `shut`";
        check(&format!("{off}{}", entries(&["shut"])), &[&format!("7 `c2` {said}")]);
        check(off, &[]);
    }

    #[test]
    fn an_entry_that_must_have_a_gpu_may_see_one() {
        let entry = |device: &str, gpus: &str| {
            format!("[[processors.c2]]\ndevice = {device:?}\nenvs.CUDA_VISIBLE_DEVICES = {gpus:?}")
        };
        let said = "6 `CUDA_VISIBLE_DEVICES` hides every GPU, and the entry must have one";
        check(&entry("cuda", ""), &[said]);
        check(&entry("cuda", "-1"), &[said]);
        check(&entry("cuda", "0"), &[]);
        check(&entry("cpu", ""), &[]);
    }

    #[test]
    fn a_stage_that_is_switched_off_may_be_impossible() {
        check(&format!("{}[processors.limitation.concurrent]\nc2 = 0", entries(&["shut"])), &[]);
    }
}
