// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks that are full or read-only.
//!
//! Both are mounted in a mount namespace of the check's own thread, which the processor inherits:
//! nobody else sees them, and they are gone with it.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    thread,
};

use rustix::{
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount},
    thread::UnshareFlags,
};
use sealpipe_protocol::Code;
use serde_json::json;

use super::{layout, right::usual, trial::Trial, wrong::refused};
use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure, skip},
    session::Heard,
};

/// The checks of all stages with files.
pub const CHECKS: &[Check] = &[
    Check::must("S-030", "refuses-a-read-only-directory", &[117], read_only),
    Check::should("S-031", "says-that-read-only-is-permanent", &[117], read_only_is_permanent),
    Check::must("S-032", "refuses-a-full-disk", &[116], full),
];

/// What is put onto a disk beside the inputs before it is filled: directories and a few pages.
const ROOM_BYTES: u64 = 1 << 20;

/// Runs in a mount namespace of its own.
///
/// # Errors
/// [`Failure::Skipped`] when this process may not have one.
fn apart(work: impl FnOnce() -> Verdict + Send) -> Verdict {
    let enter = || -> Verdict {
        #[expect(deprecated, reason = "only the flag FILES, which is not used, is unsound")]
        let entered = rustix::thread::unshare(UnshareFlags::FS | UnshareFlags::NEWNS);
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        match entered.and_then(|()| mount_change("/", private)) {
            Ok(()) => Ok(()),
            Err(Errno::PERM | Errno::ACCESS) => skip!(
                "needs the right to mount: run the suite as root, or by `unshare -rm \
                 sealpipe-conformance …`"
            ),
            Err(e) => Err(Failure::harness("a mount namespace", e)),
        }
    };
    thread::scope(|scope| {
        let apart = scope.spawn(move || enter().and_then(|()| work()));
        apart.join().unwrap_or_else(|_| Err(Failure::Harness("the check panicked".into())))
    })
}

fn mounted(what: &str, done: rustix::io::Result<()>) -> Verdict {
    match done {
        Err(Errno::PERM | Errno::ACCESS) => skip!("needs the right to mount {what}"),
        done => done.map_err(|e| Failure::harness(&format!("cannot mount {what}"), e)),
    }
}

fn on_read_only(bench: &Bench, look: fn(&Heard) -> Verdict) -> Verdict {
    // Sealed before there are two views of the file system.
    let model = bench.models().first(bench)?;
    apart(|| {
        let mut trial = Trial::new(bench, &model, usual(bench.known_stage()?, &model))?;
        let before = trial.look()?;
        let sector = trial.path(layout::SECTOR);
        mounted("a directory", mount_bind(&sector, &sector))?;
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        mounted("it read-only", mount_remount(&sector, flags, ""))?;
        let mut session = bench.session()?;
        let heard = trial.run(&mut session)?;
        look(&heard)?;
        trial.touched_nothing(&before)?;
        session.lives()
    })
}

fn read_only(bench: &Bench) -> Verdict {
    on_read_only(bench, |heard| refused(heard, &[Code::InternalError]))
}

fn read_only_is_permanent(bench: &Bench) -> Verdict {
    on_read_only(bench, |heard| {
        let class = heard.at("/error/data/class");
        ensure!(*class == json!("permanent"), "the class is {class}");
        Ok(())
    })
}

fn full(bench: &Bench) -> Verdict {
    let model = bench.models().first(bench)?;
    apart(|| {
        let stage = bench.known_stage()?;
        let variant = usual(stage, &model);
        let root = bench.dir()?;
        let mut bytes = ROOM_BYTES;
        for path in layout::inputs(stage, variant, &model.facts) {
            bytes += model.content(&path)?.len() as u64;
        }
        let sector = root.join(layout::SECTOR);
        fs::create_dir(&sector).map_err(|e| Failure::harness("cannot make a directory", e))?;
        let options = format!("size={bytes}\0");
        let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes());
        let options = options.map_err(|e| Failure::harness("the options of tmpfs", e))?;
        mounted("a tmpfs", mount("tmpfs", &sector, "tmpfs", MountFlags::empty(), options))?;
        let mut trial = Trial::at(bench, root, &model, variant)?;
        fill(&sector.join("everything-else"))?;
        let before = trial.look()?;
        let mut session = bench.session()?;
        let heard = trial.run(&mut session)?;
        refused(&heard, &[Code::ResourceExhausted])?;
        trial.wrote_no_output(&before)?;
        // With room it ends well: nothing was spoiled.
        let filler = trial.path("sector/everything-else");
        // Emptied first: a process that another check forked meanwhile may have it open as well.
        let freed = File::create(&filler).and_then(|_| fs::remove_file(&filler));
        freed.map_err(|e| Failure::harness("cannot free the disk", e))?;
        let wanted: u64 = trial.expected.iter().map(|(_, content)| content.len() as u64).sum();
        if wanted * 8 > ROOM_BYTES {
            return session.lives();
        }
        let heard = trial.run(&mut session)?;
        trial.ended_well(&heard).map_err(|failure| failure.within("once there is room"))
    })
}

/// Writes a file until there is no room.
fn fill(path: &Path) -> Verdict {
    let mut file = File::create(path).map_err(|e| Failure::harness("cannot fill the disk", e))?;
    let chunk = [1; 4096];
    loop {
        match file.write_all(&chunk) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
            Err(e) => return Err(Failure::harness("cannot fill the disk", e)),
        }
    }
}
