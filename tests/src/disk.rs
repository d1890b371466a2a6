// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk of its own for a test. It is a tmpfs, which only root can mount; elsewhere such a test says
//! that it skips, and `REQUIRE_MOUNT=1` makes that a failure.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    process::Command,
};

use crate::Bench;

/// A disk, which is gone when this is.
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts a disk of a size such as `88m` in the bench.
    pub fn mount(bench: &Bench, name: &str, size: &str) -> Option<Self> {
        let path = bench.path(name);
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        assert!(std::env::var_os("REQUIRE_MOUNT").is_none(), "no tmpfs can be mounted");
        eprintln!("SKIPPED: no tmpfs can be mounted here (not root?), so no disk is full");
        None
    }

    /// Writes a file until nothing more fits.
    pub fn fill(&self) {
        let mut file = File::create(self.0.join("other")).unwrap();
        while file.write_all(&[0; 1 << 20]).is_ok() {}
        while file.write_all(&[0; 1 << 12]).is_ok() {}
        while file.write_all(&[0]).is_ok() {}
    }

    /// Gives the room back.
    pub fn free(&self) {
        let _ = fs::remove_file(self.0.join("other"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
