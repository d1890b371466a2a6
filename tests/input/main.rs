// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whatever comes from outside is wrong: it ends with a clear error that says what to do, and
//! nothing is left half done.

mod disk;
mod hostile;
mod processors;
mod sector;
