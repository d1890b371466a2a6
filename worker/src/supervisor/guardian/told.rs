// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the worker tells its guardian: JSON, one object a line.

use serde::{Deserialize, Serialize};

use super::group::Group;

/// A line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// A group was started.
    Began(Group),
    /// The group of this id is gone, with all that belongs to it.
    Ended(i32),
    /// The worker divides this control group of its own.
    Divides(std::path::PathBuf),
}

impl Told {
    /// The line, with its end.
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

/// The groups that have begun and not ended.
#[derive(Default)]
pub struct Known {
    groups: Vec<Group>,
    divided: Option<std::path::PathBuf>,
}

impl Known {
    /// Takes over what was told.
    pub fn note(&mut self, told: Told) {
        match told {
            Told::Began(group) => {
                self.groups.retain(|known| known.id != group.id);
                self.groups.push(group);
            }
            Told::Ended(id) => self.groups.retain(|known| known.id != id),
            Told::Divides(dir) => self.divided = Some(dir),
        }
    }

    /// The groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The worker's own control group, if it divides one.
    pub fn divided(&self) -> Option<&std::path::Path> {
        self.divided.as_deref()
    }

    /// Everything, for one that knows nothing yet.
    pub fn lines(&self) -> String {
        let divided = self.divided.iter().map(|dir| Told::Divides(dir.clone()).line());
        divided.chain(self.groups.iter().map(|group| Told::Began(group.clone()).line())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::guardian::Mark;

    fn group(id: i32) -> Group {
        Group { id, started: 7, session: 1, mark: Mark::next(), control_group: Some("/a b".into()) }
    }

    #[test]
    fn a_guardian_that_is_told_everything_at_once_knows_as_much() {
        let mut known = Known::default();
        let (first, second, reused) = (group(1), group(2), group(1));
        known.note(Told::Divides("/own".into()));
        known.note(Told::Began(first));
        known.note(Told::Began(second.clone()));
        known.note(Told::Began(reused.clone()));
        known.note(Told::Ended(3));
        let mut next = Known::default();
        for line in known.lines().lines() {
            next.note(serde_json::from_str(line).unwrap());
        }
        for known in [&known, &next] {
            assert_eq!(known.groups(), [second.clone(), reused.clone()]);
            assert_eq!(known.divided(), Some(std::path::Path::new("/own")));
        }
        next.note(Told::Ended(1));
        assert_eq!(next.groups(), [second]);
    }
}
