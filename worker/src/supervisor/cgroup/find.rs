// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where this process' control group lies, by what `/proc` says. Pure.

use std::path::{Path, PathBuf};

/// The directory of a process' own group in the unified hierarchy (cgroups(7)): `own` is its
/// `/proc/<pid>/cgroup`, `mounts` its `/proc/<pid>/mountinfo`.
///
/// # Errors
/// Why there is none, for people.
pub fn own_directory(own: &str, mounts: &str) -> Result<PathBuf, String> {
    // Version 1 has lines with names of controllers between the colons.
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    let own = own.ok_or("this process is in no group of version 2")?;
    if own.starts_with("/..") {
        return Err("its group lies outside of what this process sees".to_owned());
    }
    // A later mount may hide an earlier one.
    let mounts: Vec<_> = mounts.lines().filter_map(mount).collect();
    if mounts.is_empty() {
        return Err("control groups of version 2 are not mounted".to_owned());
    }
    let below =
        |(root, at): &(PathBuf, PathBuf)| Some(at.join(Path::new(own).strip_prefix(root).ok()?));
    mounts.iter().rev().find_map(below).ok_or_else(|| format!("the group {own} is not mounted"))
}

/// The root and the place of a mount of the unified hierarchy, of a line of mountinfo
/// (proc_pid_mountinfo(5)).
fn mount(line: &str) -> Option<(PathBuf, PathBuf)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut fields = place.split(' ').skip(3);
    let (root, at) = (fields.next()?, fields.next()?);
    kind.starts_with("cgroup2 ").then(|| (PathBuf::from(plain(root)), PathBuf::from(plain(at))))
}

/// Blanks and the like stand there as three octal digits.
fn plain(field: &str) -> String {
    let mut plain = String::new();
    let mut parts = field.split('\\');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => plain.push_str(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const HYBRID: &str = "\
31 30 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    fn check(own: &str, mounts: &str, expected: Result<&str, &str>) {
        let found = own_directory(own, mounts);
        let found = found.as_ref().map(|dir| dir.to_str().unwrap());
        assert_eq!(found.map_err(String::as_str), expected, "{own} {mounts}");
    }

    #[test]
    fn the_own_group_is_found_where_it_is_mounted() {
        let service = "0::/system.slice/sealpipe.service\n";
        check(service, UNIFIED, Ok("/sys/fs/cgroup/system.slice/sealpipe.service"));
        check("0::/\n", UNIFIED, Ok("/sys/fs/cgroup/"));
        check("3:cpuset:/a\n0::/b\n", HYBRID, Ok("/sys/fs/cgroup/unified/b"));
    }

    #[test]
    fn a_part_of_the_hierarchy_may_be_mounted_and_names_may_have_blanks() {
        let part = "30 23 0:26 /box/1 /my\\040groups rw - cgroup2 cgroup2 rw\n";
        check("0::/box/1/worker\n", part, Ok("/my groups/worker"));
        check("0::/box/2\n", part, Err("the group /box/2 is not mounted"));
        check("0::/../other\n", part, Err("its group lies outside of what this process sees"));
    }

    #[test]
    fn version_1_alone_is_none() {
        check("3:cpuset:/a\n", UNIFIED, Err("this process is in no group of version 2"));
        let old = "31 30 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";
        check("0::/\n", old, Err("control groups of version 2 are not mounted"));
        check("", "", Err("this process is in no group of version 2"));
    }
}
