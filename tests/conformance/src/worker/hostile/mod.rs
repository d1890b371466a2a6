// SPDX-License-Identifier: MIT OR Apache-2.0

//! The hostile processor: the program itself in another mode, which a worker starts and which does
//! what a script says, honestly wherever the script says nothing.
//!
//! It writes down every line that it reads and everything that happens to it. It has no type of the
//! protocol's, for those would not let it say anything wrong; only its placement is the SDK's.

mod diary;
mod player;
mod reader;
mod work;

use std::{fs, path::Path, sync::Arc, thread, time::Duration};

use self::{
    diary::Diary,
    player::{Player, Request},
    reader::{Input, Reader},
};
pub use self::{diary::path as diary_path, work::STAGES};
use super::script::{self, Life, Script};
use crate::proc;

/// Ended as no script wants: 70 is `EX_SOFTWARE` of sysexits.h.
const DEFECT: u8 = 70;

/// How often it is looked whether the suite is there.
const LOOK: Duration = Duration::from_secs(1);

/// Lives one life in the directory of a run; never returns while the script wants it to live.
///
/// # Errors
/// There is no script, or the diary cannot be written.
pub fn live(dir: &Path) -> Result<u8, String> {
    let path = dir.join(script::FILE);
    let cannot = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = fs::read(&path).map_err(|e| cannot(&e))?;
    let script: Script = serde_json::from_slice(&text).map_err(|e| cannot(&e))?;
    let diary = Diary::begin(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let life = script.lives.get(diary.life - 1).or(script.lives.last()).cloned();
    let life = life.ok_or("a script without a life")?;
    diary.note_start();
    let player = Arc::new(Player::new(diary, script.stage, life, dir));
    Ok(play(&player, script.suite))
}

fn play(player: &Arc<Player>, suite: (i32, Option<u64>)) -> u8 {
    let mut reader = Reader::default();
    player.play(&player.life().start, &Request::default());
    // The first line is read before any thread is started: placement belongs to a thread.
    let first = reader.next(player);
    if let Input::Line(line) = &first {
        player.pin(&Request::read(line));
    }
    watch_for_sigterm(player);
    thread::spawn(move || outlive_nobody(suite));
    let (lines_tx, lines) = std::sync::mpsc::channel();
    let reading = player.clone();
    thread::spawn(move || {
        loop {
            let input = reader.next(&reading);
            let ended = matches!(input, Input::End);
            if lines_tx.send(input).is_err() || ended {
                return;
            }
        }
    });
    let mut input = Some(first);
    while let Some(next) = input {
        match next {
            Input::Line(line) => player.take(&Request::read(&line)),
            Input::End => {
                player.end_of_input();
                // The script wants it to live on.
                loop {
                    thread::park();
                }
            }
        }
        input = lines.recv().ok();
    }
    DEFECT
}

/// Ends with the suite, however that ends and whatever the script wants.
fn outlive_nobody((suite, born): (i32, Option<u64>)) {
    while proc::born(suite) == born {
        thread::sleep(LOOK);
    }
    std::process::exit(DEFECT.into());
}

/// Plays what the script has for SIGTERM, each time that it comes.
fn watch_for_sigterm(player: &Arc<Player>) {
    use tokio::signal::unix::{SignalKind, signal};
    let player = player.clone();
    let (ready_tx, ready) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
            let _ = ready_tx.send(());
            while terminate.recv().await.is_some() {
                player.terminate();
            }
        });
    });
    // Ends at once when the thread does.
    let _ = ready.recv();
}

impl Player {
    fn life(&self) -> &Life {
        &self.life
    }
}
