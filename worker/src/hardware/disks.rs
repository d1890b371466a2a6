// SPDX-License-Identifier: MIT OR Apache-2.0

//! File systems on which sectors may lie, and how much of them is free.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::fs::statvfs;

use super::{Disk, this_machine::Kernel};

/// File systems without a device of their own that hold data nevertheless.
const WITHOUT_DEVICE: &[&str] =
    &["9p", "bcachefs", "beegfs", "ceph", "cifs", "lustre", "nfs", "nfs4", "virtiofs", "zfs"];

/// File systems that nobody can write to, or that hold nothing but a system.
const READ_ONLY: &[&str] = &["iso9660", "squashfs", "udf", "vfat"];

/// How long a file system may take to say how much is free; one that takes longer is left out.
const MAX_ANSWER: Duration = Duration::from_secs(2);

/// A line of `/proc/self/mounts`.
struct Mount {
    device: String,
    dir: PathBuf,
    filesystem: String,
}

/// The file systems of this machine, each once, the largest first.
pub(super) fn detect(kernel: Kernel<'_>) -> Vec<Disk> {
    let mounts = kernel.text("proc/self/mounts").unwrap_or_default();
    let mut disks: Vec<Disk> = storing(&mounts).into_iter().filter_map(disk).collect();
    disks.sort_by_key(|disk| std::cmp::Reverse(disk.size_bytes));
    disks
}

/// What is free in the file system of a directory.
///
/// # Errors
/// The kernel cannot say, since there is no such directory.
pub fn of_dir(dir: &Path) -> std::io::Result<Disk> {
    let space = statvfs(dir)?;
    Ok(Disk {
        mount: Some(dir.to_path_buf()),
        size_bytes: space.f_blocks.saturating_mul(space.f_frsize),
        free_bytes: Some(space.f_bavail.saturating_mul(space.f_frsize)),
        ..Disk::default()
    })
}

fn disk(mount: Mount) -> Option<Disk> {
    let Mount { device, dir, filesystem } = mount;
    let (answer, answered) = mpsc::channel();
    // A server that is gone lets the call wait for ever; the thread then waits alone.
    thread::spawn(move || drop(answer.send(of_dir(&dir))));
    let disk = answered.recv_timeout(MAX_ANSWER).ok()?.ok()?;
    (disk.size_bytes > 0).then_some(Disk {
        device: Some(device),
        filesystem: Some(filesystem),
        ..disk
    })
}

/// The mounts that may hold sectors. What is mounted in several places is one disk: that of the
/// shortest path.
fn storing(mounts: &str) -> Vec<Mount> {
    let mut found: Vec<Mount> = Vec::new();
    for mount in mounts.lines().filter_map(mount) {
        let Mount { device, filesystem, dir } = &mount;
        let has_device = device.starts_with("/dev/") && !device.starts_with("/dev/loop");
        let of_container = filesystem == "overlay" && dir == Path::new("/");
        let named = WITHOUT_DEVICE.contains(&filesystem.as_str()) || of_container;
        if !(has_device || named) || READ_ONLY.contains(&filesystem.as_str()) {
            continue;
        }
        match found.iter_mut().find(|other| other.device == *device) {
            Some(other) if depth(&other.dir) <= depth(dir) => {}
            Some(other) => *other = mount,
            None => found.push(mount),
        }
    }
    found
}

fn depth(dir: &Path) -> usize {
    dir.components().count()
}

fn mount(line: &str) -> Option<Mount> {
    let mut words = line.split_whitespace();
    let (device, dir, filesystem) = (words.next()?, words.next()?, words.next()?);
    Some(Mount {
        device: unescaped(device),
        dir: unescaped(dir).into(),
        filesystem: filesystem.to_owned(),
    })
}

/// Blanks and backslashes stand there as three octal digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped.filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[3..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_that_hold_data_are_found_once() {
        let mounts = "\
sysfs /sys sysfs rw 0 0
/dev/nvme0n1p1 / ext4 rw 0 0
/dev/nvme0n1p1 /srv/bind/mount ext4 rw 0 0
/dev/nvme1n1 /mnt/a\\040b xfs rw 0 0
/dev/loop3 /snap/x squashfs ro 0 0
/dev/sda1 /boot/efi vfat rw 0 0
tank/seal /tank zfs rw 0 0
tmpfs /run tmpfs rw 0 0
broken
";
        let found: Vec<_> = storing(mounts)
            .iter()
            .map(|m| format!("{} {} {}", m.device, m.dir.display(), m.filesystem))
            .collect();
        assert_eq!(
            found,
            ["/dev/nvme0n1p1 / ext4", "/dev/nvme1n1 /mnt/a b xfs", "tank/seal /tank zfs"]
        );
    }

    #[test]
    fn a_directory_has_free_space() {
        let dir = tempfile::tempdir().unwrap();
        let disk = of_dir(dir.path()).unwrap();
        assert!(disk.free_bytes.unwrap() <= disk.size_bytes);
        assert!(of_dir(Path::new("/no/such/dir")).is_err());
    }

    #[test]
    fn escapes_are_octal() {
        assert_eq!(unescaped("a\\040b\\134c"), "a b\\c");
        assert_eq!(unescaped("a\\04"), "a\\04");
        assert_eq!(unescaped("\\999"), "\\999");
    }
}
