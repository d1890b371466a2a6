// SPDX-License-Identifier: MIT OR Apache-2.0

//! The daemon's directory: its store, its socket, its journal, and the lock that keeps a second daemon
//! out.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::{
        fd::AsFd,
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use super::store::StoreError;

/// Longest path of a socket, in bytes (unix(7), `sun_path`, less its end).
const MAX_SOCKET_BYTES: usize = 107;

/// The file that keeps a second daemon out.
const LOCK: &str = "lock";

/// How long a daemon that was just killed may take to be gone.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// How often the lock is tried meanwhile.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// A control socket that is bound. Dropping it removes it, unless somebody else's is there by then.
pub struct Bound {
    path: PathBuf,
    file: Identity,
}

/// A file's file system, inode and time of change, in seconds and nanoseconds: numbers of inodes are used
/// again.
type Identity = (u64, u64, i64, i64);

fn identity(file: &fs::Metadata) -> Identity {
    (file.dev(), file.ino(), file.mtime(), file.mtime_nsec())
}

impl Drop for Bound {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path);
        if ours.is_ok_and(|found| identity(&found) == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The directory.
pub struct Home {
    dir: PathBuf,
    _lock: File,
}

impl Home {
    /// Makes the directory, or opens it, for one daemon.
    ///
    /// # Errors
    /// Another daemon has it, or it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let cannot = |error: io::Error| StoreError {
            message: format!("cannot use {} as the daemon's directory: {error}", dir.display()),
            hint: Some("give another one with --state".to_owned()),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(cannot)?;
        let dir_path = dir.canonicalize().map_err(cannot)?;
        // Nobody else's directory is closed to the others.
        let is_ours = dir_path.join(LOCK).exists();
        if !is_ours && fs::read_dir(&dir_path).map_err(cannot)?.next().is_some() {
            return Err(cannot(io::Error::other("it holds other files")));
        }
        // Only its owner may speak to the socket in it.
        fs::set_permissions(&dir_path, fs::Permissions::from_mode(0o700)).map_err(cannot)?;
        let path = dir_path.join(LOCK);
        let mut options = OpenOptions::new();
        let mut lock = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(cannot)?;
        match lock_patiently(&lock) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let _ = (&mut lock).take(16).read_to_string(&mut pid);
                return Err(StoreError {
                    message: format!("a daemon runs in {} (pid {})", dir.display(), pid.trim()),
                    hint: Some(
                        "`sealpipe status` shows what it does; or give another --state".into(),
                    ),
                });
            }
            Err(error) => return Err(cannot(error.into())),
        }
        lock.set_len(0).map_err(cannot)?;
        lock.rewind().map_err(cannot)?;
        writeln!(lock, "{}", std::process::id()).map_err(cannot)?;
        Ok(Self { dir: dir_path, _lock: lock })
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.dir.join("jobs.redb")
    }

    /// What happened, one event a line.
    pub fn journal(&self) -> PathBuf {
        self.dir.join("daemon.jsonl")
    }

    /// Binds the control socket, for its owner alone.
    ///
    /// # Errors
    /// Its path is too long, or the system says so.
    pub fn bind(&self, socket: &Path) -> Result<(UnixListener, Bound), StoreError> {
        let cannot = |error: io::Error| StoreError {
            message: format!("cannot listen on {}: {error}", socket.display()),
            hint: Some("give another --state or --socket".to_owned()),
        };
        if socket.as_os_str().len() > MAX_SOCKET_BYTES {
            let n = socket.as_os_str().len();
            let why = format!("a socket's path has at most {MAX_SOCKET_BYTES} bytes, this one {n}");
            return Err(cannot(io::Error::other(why)));
        }
        if UnixStream::connect(socket).is_ok() {
            return Err(cannot(io::Error::other("another daemon listens there")));
        }
        // What a daemon that was killed has left; anything else there is somebody's.
        match fs::symlink_metadata(socket) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(cannot(io::Error::other("a file that is no socket is there")));
            }
            Ok(_) => fs::remove_file(socket).map_err(cannot)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
        }
        // Bound under another name and renamed once it has its permissions.
        let beside = socket.with_extension("new");
        let _ = fs::remove_file(&beside);
        let listener = UnixListener::bind(&beside).map_err(cannot)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).map_err(cannot)?;
        let found = fs::symlink_metadata(&beside).map_err(cannot)?;
        fs::rename(&beside, socket).map_err(cannot)?;
        let bound = Bound { path: socket.to_owned(), file: identity(&found) };
        listener.set_nonblocking(true).map_err(cannot)?;
        Ok((listener, bound))
    }
}

/// Takes the lock. A daemon that was just killed holds it until the last process that it was about to
/// start is gone.
fn lock_patiently(lock: &File) -> Result<(), rustix::io::Errno> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                thread::sleep(LOCK_POLL);
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_daemon_has_the_directory_and_only_its_owner_speaks_to_it() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/state");
        let home = Home::open(&dir).unwrap();
        let refused = Home::open(&dir).err().unwrap().message;
        assert!(refused.contains(&format!("(pid {})", std::process::id())), "{refused}");
        let socket = dir.join("control.sock");
        let (first, bound) = home.bind(&socket).unwrap();
        let refused = home.bind(&socket).err().unwrap().message;
        assert!(refused.ends_with("another daemon listens there"), "{refused}");
        drop(first);
        let second = home.bind(&socket).unwrap();
        drop(bound);
        assert!(socket.exists(), "it is another one by now");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&socket), mode(&dir)), (0o600, 0o700));
        drop(second);
        assert!(!socket.exists());
        drop(home);
        Home::open(&dir).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::open(temp.path()).unwrap();
        let file = temp.path().join("letter.txt");
        fs::write(&file, "dear").unwrap();
        let refused = home.bind(&file).err().unwrap().message;
        assert!(refused.ends_with("a file that is no socket is there"), "{refused}");
        assert_eq!(fs::read(&file).unwrap(), b"dear");
    }

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("letter"), "dear").unwrap();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let refused = Home::open(temp.path()).err().unwrap().message;
        assert!(refused.ends_with("it holds other files"), "{refused}");
        let mode = fs::metadata(temp.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o755);
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::open(temp.path()).unwrap();
        let refused = home.bind(&temp.path().join("x".repeat(200))).err().unwrap().message;
        assert!(refused.contains("at most 107 bytes"), "{refused}");
    }
}
