// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory for large frames, in the process and in the pipe.

use std::{hint::black_box, os::fd::AsFd, sync::Once};

/// What a pipe holds once it is widened, in bytes. Linux gives 64 KiB, and up to 1 MiB to anybody
/// who asks; each time that a pipe is full or empty one side waits for the other.
const PIPE_BYTES: usize = 256 * 1024;

/// Has a pipe hold more, so that bulk frames take fewer turns. Either end will do. What is no pipe,
/// or may not hold more, stays as it is: the frames are the same.
pub fn widen_pipe(end: impl AsFd) {
    let end = end.as_fd();
    if rustix::pipe::fcntl_getpipe_size(end).is_ok_and(|bytes| bytes < PIPE_BYTES) {
        // Refused to a user whose pipes hold much already.
        let _ = rustix::pipe::fcntl_setpipe_size(end, PIPE_BYTES);
    }
}

/// A block as large as glibc takes note of, which is 32 MiB with what it keeps beside it, in bytes.
const BLOCK_BYTES: usize = 32 * 1024 * 1024 - 64 * 1024;

/// Has the allocator keep memory for frames of the default limit, instead of giving it back after
/// each and being given it anew, page by page: that takes longer than all copies of such a frame.
///
/// glibc keeps twice the size of the largest block that it was given back (`M_MMAP_THRESHOLD` in
/// mallopt(3)), here 64 MiB. The block is never touched. Other allocators take no notice.
pub fn keep_freed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(black_box(Vec::<u8>::with_capacity(BLOCK_BYTES))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_widened_by_either_end_and_anything_else_is_left_alone() {
        let (reader, writer) = std::io::pipe().unwrap();
        let before = rustix::pipe::fcntl_getpipe_size(&reader).unwrap();
        widen_pipe(&reader);
        let after = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
        // A user whose pipes hold much already is refused.
        assert!(after >= before);
        widen_pipe(&writer);
        assert_eq!(rustix::pipe::fcntl_getpipe_size(&reader).unwrap(), after);
        widen_pipe(std::fs::File::open("/dev/null").unwrap());
    }
}
