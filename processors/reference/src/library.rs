// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the errors of the library to errors of a task.

use std::{error::Error, io};

use sealpipe_protocol::{Code, TaskError, failure::is_exhausted};

/// An error of the library: full disks and exhausted memory keep their own code, anything else is
/// `otherwise`. The chain below it becomes the causes.
pub fn failure(
    otherwise: Code,
    what: impl Into<String>,
    error: &(dyn Error + 'static),
) -> TaskError {
    let what = what.into();
    let exhausted = chain(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .find(|cause| is_exhausted(cause.kind()));
    if let Some(cause) = exhausted {
        return TaskError::io(Code::ResourceExhausted, what, cause).caused_by(error);
    }
    let mut made = TaskError::new(otherwise, format!("{what}: {error}"));
    made.data.causes.extend(chain(error).skip(1).map(ToString::to_string));
    made
}

/// What a panic carried, as text.
pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_full_disk_deep_in_the_chain_is_found() {
        #[derive(Debug)]
        struct Outer(io::Error);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("failed to store labels")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let full = Outer(io::Error::from(ErrorKind::StorageFull));
        let made = failure(Code::InternalError, "pc1", &full);
        assert_eq!(made.known_code(), Some(Code::ResourceExhausted));
        let other = Outer(io::Error::from(ErrorKind::InvalidData));
        let made = failure(Code::InvalidInput, "pc1", &other);
        assert_eq!(made.known_code(), Some(Code::InvalidInput));
        assert_eq!(made.data.causes, ["invalid data"]);
    }
}
