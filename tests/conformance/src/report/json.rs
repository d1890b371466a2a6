// SPDX-License-Identifier: MIT OR Apache-2.0

//! One JSON object for machines.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::Report;
use crate::suite::Status;

/// The report on one line.
pub fn write(out: &mut impl Write, report: &Report<'_>) -> io::Result<()> {
    writeln!(out, "{}", value(report))
}

/// The report as a value.
pub fn value(report: &Report<'_>) -> Value {
    let checks: Vec<Value> = report
        .outcomes
        .iter()
        .map(|outcome| {
            json!({
                "id": outcome.check.id,
                "name": outcome.check.name,
                "level": outcome.check.level.name(),
                "rules": outcome.check.rule_names(),
                "status": outcome.status.name(),
                "detail": outcome.detail,
                "looks": outcome.looks,
                "ms": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
            })
        })
        .collect();
    json!({
        "protocolVersion": "1.0",
        "stage": report.stage,
        "command": report.command_line(),
        "conforms": report.count(Status::Failed) == 0 && report.count(Status::Fault) == 0,
        "passed": report.count(Status::Passed),
        "failed": report.count(Status::Failed),
        "warned": report.count(Status::Warned),
        "skipped": report.count(Status::Skipped),
        "faults": report.count(Status::Fault),
        "checks": checks,
    })
}
