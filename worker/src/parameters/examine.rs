// SPDX-License-Identifier: MIT OR Apache-2.0

//! Looks at one file. 47 GB take a minute and more, so a digest is remembered beside the file, together with
//! what tells that the file is still the same.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::Path,
};

use blake2b_simd::Params;
use sealpipe_protocol::{durable, stage::proof::SealProof};

use super::{Found, Known, State, marker};

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// Bytes of BLAKE2b-512 that `parameters.json` keeps.
const DIGEST_BYTES: usize = 16;

/// Looks for a file of the network in `dir`, and takes its digest unless it is remembered. `progress` hears
/// of bytes done and in all, and says whether to go on.
///
/// # Errors
/// `Interrupted` when it is not to go on; whatever else is wrong is part of the answer.
pub fn examine(
    dir: &Path,
    proof: SealProof,
    known: Known,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> io::Result<Found> {
    let path = dir.join(&known.name);
    let mut found = Found {
        size: proof.size_name(),
        path,
        bytes: None,
        digest: known.digest,
        state: State::Missing,
        cached: false,
    };
    match look(&found.path, progress) {
        Ok(Looked { bytes, digest, cached }) => {
            found.bytes = Some(bytes);
            found.cached = cached;
            found.state = match digest == found.digest {
                true => State::Right,
                false => State::Wrong { found: digest },
            };
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
        Err(error) => found.state = State::Unreadable { reason: error.to_string() },
    }
    Ok(found)
}

struct Looked {
    bytes: u64,
    digest: String,
    cached: bool,
}

fn look(path: &Path, progress: &mut dyn FnMut(u64, u64) -> bool) -> io::Result<Looked> {
    let before = durable::stamp(path)?;
    let bytes = fs::metadata(path)?.len();
    let marker = marker(path);
    let remembered = fs::read_to_string(&marker).ok();
    let remembered = remembered.as_deref().and_then(|text| text.trim_end().split_once(' '));
    if let Some((digest, stamp)) = remembered
        && stamp == before
        && digest.len() == 2 * DIGEST_BYTES
    {
        return Ok(Looked { bytes, digest: digest.to_owned(), cached: true });
    }
    let digest = digest(path, bytes, progress)?;
    // What changed meanwhile is looked at again next time; so it is where nothing can be written.
    if durable::stamp(path)? == before {
        let _ = durable::write_bytes(&marker, format!("{digest} {before}\n").as_bytes());
    }
    Ok(Looked { bytes, digest, cached: false })
}

fn digest(
    path: &Path,
    total: u64,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut state = Params::new().to_state();
    let mut buffer = vec![0; READ_BYTES];
    let mut done = 0;
    loop {
        if !progress(done, total) {
            return Err(ErrorKind::Interrupted.into());
        }
        match file.read(&mut buffer)? {
            0 => break,
            n => {
                state.update(&buffer[..n]);
                done += n as u64;
            }
        }
    }
    Ok(hex::encode(&state.finalize().as_bytes()[..DIGEST_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `b2sum` of the text `abc`, cut.
    const ABC: &str = "ba80a53f981c4d0d6a2797b69f12f6e9";

    fn known(digest: &str) -> Known {
        Known { name: "x.params".to_owned(), digest: digest.to_owned() }
    }

    #[test]
    fn a_file_is_missing_right_or_wrong_and_its_digest_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.params");
        let look = |digest: &str| {
            let proof = SealProof::StackedDrg32GiBV1_1;
            let mut reads = 0;
            let mut progress = |_, _| {
                reads += 1;
                true
            };
            let found = examine(dir.path(), proof, known(digest), &mut progress).unwrap();
            assert_eq!(found.cached, reads == 0 && found.bytes.is_some());
            (found.state, found.bytes, found.cached)
        };
        assert_eq!(look(ABC), (State::Missing, None, false));
        fs::write(&path, "abc").unwrap();
        assert_eq!(look(ABC), (State::Right, Some(3), false));
        assert_eq!(look(ABC), (State::Right, Some(3), true));
        let other = "00".repeat(16);
        assert_eq!(look(&other), (State::Wrong { found: ABC.to_owned() }, Some(3), true));
        // Another file with the same length and time of change, as a copy has them.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let copy = dir.path().join("copy");
        fs::write(&copy, "abd").unwrap();
        File::options().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
        fs::rename(&copy, &path).unwrap();
        let (state, _, cached) = look(ABC);
        assert!(matches!(state, State::Wrong { found } if found != ABC) && !cached);
    }

    #[test]
    fn it_can_be_stopped_and_remembers_nothing_then() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.params"), "abc").unwrap();
        let proof = SealProof::StackedDrg32GiBV1_1;
        let stopped = examine(dir.path(), proof, known(ABC), &mut |_, _| false).unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::Interrupted);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
