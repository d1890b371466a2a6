// SPDX-License-Identifier: MIT OR Apache-2.0

//! How many of something there are over time.

use crate::scheduler::Time;

/// A number that changes at moments: what it is from each of them on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Level(Vec<(Time, usize)>);

impl Level {
    /// How many stretches of time cover each moment. What begins and ends at one moment is not
    /// seen; a stretch without an end goes on for ever.
    pub fn new(stretches: impl Iterator<Item = (Time, Option<Time>)>) -> Self {
        let mut changes: Vec<(Time, i64)> = stretches
            .flat_map(|(from, to)| std::iter::once((from, 1)).chain(to.map(|to| (to, -1))))
            .collect();
        changes.sort_unstable();
        let mut levels: Vec<(Time, usize)> = Vec::new();
        let mut level = 0_i64;
        for (at, change) in changes {
            level += change;
            let seen = usize::try_from(level).unwrap_or(0);
            match levels.last_mut().filter(|(last, _)| *last == at) {
                Some(last) => last.1 = seen,
                None => levels.push((at, seen)),
            }
        }
        levels.dedup_by_key(|(_, level)| *level);
        Self(levels)
    }

    /// The changes: from when on it is how many.
    pub fn changes(&self) -> &[(Time, usize)] {
        &self.0
    }

    /// The highest.
    pub fn most(&self) -> usize {
        self.0.iter().map(|(_, level)| *level).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stretches: &[(u64, u64)], expected: &[(u64, usize)]) {
        let time = Time::from_secs;
        let end = |to: u64| (to < FOR_EVER).then_some(time(to));
        let level = Level::new(stretches.iter().map(|(from, to)| (time(*from), end(*to))));
        let expected: Vec<_> = expected.iter().map(|(at, n)| (time(*at), *n)).collect();
        assert_eq!(level.changes(), expected, "{stretches:?}");
    }

    const FOR_EVER: u64 = 99;

    #[test]
    fn levels_are_those_between_the_changes() {
        check(&[], &[]);
        check(&[(1, 3), (2, 5)], &[(1, 1), (2, 2), (3, 1), (5, 0)]);
        check(&[(0, 2), (2, 4)], &[(0, 1), (4, 0)]);
        // Nobody waits who is served at once.
        check(&[(0, 9), (3, 3)], &[(0, 1), (9, 0)]);
        check(&[(1, FOR_EVER), (2, 4)], &[(1, 1), (2, 2), (4, 1)]);
    }
}
