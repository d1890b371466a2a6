// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads the configuration again and has the processors take it over: all of it, or nothing.

use std::sync::Arc;

use sealpipe_protocol::{Code, TaskError};

use super::{desk::Desk, requests::Answer};
use crate::{
    config::{self, Severity},
    control::{Nothing, ReloadResult},
    event::Event,
    fleet::Reload,
};

/// Takes over the configuration as it is now.
pub async fn reload(desk: &Arc<Desk>, _: Nothing) -> Answer<ReloadResult> {
    let reloaded = take_over(desk).await;
    match &reloaded {
        Ok(result) => desk.tell(&Event::Reloaded { changes: result.changes.clone() }),
        Err(error) => desk.tell(&Event::ReloadFailed { reason: error.message.clone() }),
    }
    reloaded
}

async fn take_over(desk: &Arc<Desk>) -> Answer<ReloadResult> {
    let Some(path) = &desk.settings.config_path else {
        let message = "the daemon was started without a configuration";
        return Err(TaskError::new(Code::InvalidParams, message)
            .hint("start it with `sealpipe run --config worker.toml`"));
    };
    let loaded = config::load(path);
    let Some(config) = loaded.parsed.config() else {
        let found = loaded.parsed.diagnostics().render(&loaded.source, Severity::Error);
        let mut error = TaskError::new(
            Code::InvalidParams,
            format!("{} cannot be used; nothing was changed", path.display()),
        )
        .hint(format!("`sealpipe check {}` shows all that is to be said", path.display()));
        error.data.causes = found.lines().map(str::to_owned).collect();
        return Err(error);
    };
    let reload = desk.fleet.reload(&config.processors, &desk.settings.worker_dir).await;
    let reload = reload.map_err(|error| {
        let mut refused = TaskError::new(Code::InvalidParams, error.to_string());
        refused.data.hint = error.failed.iter().find_map(|failed| failed.hint.clone());
        let words = error.failed.iter().flat_map(|failed| failed.last_words.iter().cloned());
        refused.data.causes = words.collect();
        refused
    })?;
    desk.set_config(config.clone());
    Ok(ReloadResult { changes: changes(&reload) })
}

/// What a reload has done, a sentence each.
fn changes(reload: &Reload) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |names: &[String], what: &str| {
        said.extend(names.iter().map(|name| format!("{name} {what}")));
    };
    say(&reload.started, "is a new process and gets the next tasks");
    say(&reload.revived, "is started again");
    say(&reload.removed, "is gone");
    for changed in &reload.changed {
        said.push(format!("{} changes in place: {}", changed.processor, changed.what.join(", ")));
    }
    for old in &reload.draining {
        let tasks = match old.tasks {
            0 => "ends".to_owned(),
            1 => "finishes its task and ends".to_owned(),
            n => format!("finishes its {n} tasks and ends"),
        };
        said.push(format!("the old {} {tasks}", old.processor));
    }
    said.extend(reload.rules.iter().cloned());
    if said.is_empty() {
        said.push("nothing has changed".to_owned());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Changed, Draining};

    #[test]
    fn what_a_reload_does_is_said() {
        let reload = Reload {
            kept: vec!["pc1[0]".into()],
            changed: vec![Changed {
                processor: "c2[0]".into(),
                what: vec!["concurrent 1 → 2".into()],
            }],
            started: vec!["pc2[0]".into()],
            draining: vec![Draining { processor: "pc2[0]".into(), tasks: 2 }],
            rules: vec!["ext_locks.gpu 1 → 2".into()],
            ..Reload::default()
        };
        assert_eq!(
            changes(&reload),
            [
                "pc2[0] is a new process and gets the next tasks",
                "c2[0] changes in place: concurrent 1 → 2",
                "the old pc2[0] finishes its 2 tasks and ends",
                "ext_locks.gpu 1 → 2",
            ]
        );
        assert_eq!(changes(&Reload::default()), ["nothing has changed"]);
    }
}
