// SPDX-License-Identifier: MIT OR Apache-2.0

//! Listens to what the library logs: its only sign of which phase it is in.

use std::sync::{Arc, Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

type Listener = Arc<dyn Fn(Level, &str) + Send + Sync>;

static TAP: Tap = Tap { listener: Mutex::new(None) };

struct Tap {
    listener: Mutex<Option<Listener>>,
}

impl Log for Tap {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The prover names its phases at debug; elsewhere that level is about details.
        let most = match metadata.target().starts_with("bellperson") {
            true => Level::Debug,
            false => Level::Info,
        };
        metadata.level() <= most
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(listener) = listener {
            listener(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Calls `listener` with every line that the library logs until the value returned is dropped.
/// One listener at a time: a later one replaces an earlier one.
pub fn listen(listener: impl Fn(Level, &str) + Send + Sync + 'static) -> Listening {
    if log::set_logger(&TAP).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
    *TAP.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(listener));
    Listening(())
}

/// Ends the listening when dropped.
#[derive(Debug)]
#[must_use = "the listening ends when this is dropped"]
pub struct Listening(());

impl Drop for Listening {
    fn drop(&mut self) {
        *TAP.listener.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
