// SPDX-License-Identifier: MIT OR Apache-2.0

//! Moves the frames away from fds 0 and 1, where any library may read or print.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
};

use rustix::{
    fs::{FileType, fstat},
    io::fcntl_dupfd_cloexec,
    stdio,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{UnixStream, unix::pipe},
};

use crate::peer::widen_pipe;

/// Private copies of stdin and stdout. Fd 0 then reads nothing, fd 1 goes to stderr.
pub struct Descriptors {
    /// What the worker writes to.
    pub input: File,
    /// What the worker reads from.
    pub output: File,
}

/// A reader on the runtime.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;
/// A writer on the runtime.
pub type Writer = Pin<Box<dyn AsyncWrite + Send>>;

impl Descriptors {
    pub fn take_over() -> io::Result<Self> {
        // 3 is the first descriptor past stderr.
        let input = File::from(fcntl_dupfd_cloexec(stdio::stdin(), 3)?);
        let output = File::from(fcntl_dupfd_cloexec(stdio::stdout(), 3)?);
        stdio::dup2_stdin(File::open("/dev/null")?)?;
        stdio::dup2_stdout(stdio::stderr())?;
        Ok(Self { input, output })
    }

    /// Both ends on the runtime. Pipes and sockets are waited for; anything else (a terminal, a
    /// file) is read and written by tokio's blocking threads.
    pub fn into_async(self) -> io::Result<(Reader, Writer)> {
        widen_pipe(&self.input);
        widen_pipe(&self.output);
        let input = OwnedFd::from(self.input);
        let reader: Reader = match kind(&input)? {
            FileType::Fifo => Box::pin(pipe::Receiver::from_owned_fd(input)?),
            FileType::Socket => Box::pin(socket(input)?),
            _ => Box::pin(tokio::fs::File::from_std(input.into())),
        };
        let output = OwnedFd::from(self.output);
        let writer: Writer = match kind(&output)? {
            FileType::Fifo => Box::pin(pipe::Sender::from_owned_fd(output)?),
            FileType::Socket => Box::pin(socket(output)?),
            _ => Box::pin(tokio::fs::File::from_std(output.into())),
        };
        Ok((reader, writer))
    }
}

fn kind(fd: impl AsFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode))
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
