// SPDX-License-Identifier: MIT OR Apache-2.0

//! Versions: every offer.

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure},
    session::Session,
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("P-040", "speaks-the-version-that-is-offered", &[21], offered),
    Check::must("P-041", "picks-the-highest-version-that-it-knows", &[21], highest),
    Check::must("P-042", "refuses-versions-that-are-too-new", &[22], too_new),
    Check::must("P-043", "refuses-versions-that-are-too-old", &[22], too_old),
    Check::must("P-044", "refuses-an-offer-of-no-version", &[22], none),
    Check::must("P-045", "says-which-versions-it-speaks", &[20, 22, 90], supported),
    Check::must("P-046", "ignores-unknown-capabilities", &[23], capabilities),
    Check::must("P-047", "reads-newer-minor-versions-of-a-stage", &[25], newer_minor),
    Check::must("P-048", "refuses-other-major-versions-of-a-stage", &[25], other_major),
];

fn offer(bench: &Bench, versions: Value) -> Value {
    let mut params = bench.initialize_params();
    params["protocolVersions"] = versions;
    params
}

fn offered(bench: &Bench) -> Verdict {
    let session = bench.session()?;
    let version = &session.offer["protocolVersion"];
    ensure!(version == "1.0", "offered 1.0, it speaks {version}");
    Ok(())
}

fn highest(bench: &Bench) -> Verdict {
    for versions in [
        json!(["0.1", "1.0", "99.0"]),
        json!(["99.0", "1.0"]),
        json!(["1.0", "0.9", "0.10"]),
        json!(["1.0", "1.0"]),
    ] {
        let session = bench.session_with(offer(bench, versions.clone()))?;
        let version = &session.offer["protocolVersion"];
        ensure!(version == "1.0", "offered {versions}, it speaks {version}");
    }
    Ok(())
}

/// The error to an offer of which it can speak nothing, and its end.
fn refused(bench: &Bench, versions: Value) -> Verdict<(Session, Value)> {
    let mut session = bench.silent_session()?;
    let id = session.ask("initialize", offer(bench, versions))?;
    let heard = session.error(&id, &[1001], bench.limits.initialize())?;
    Ok((session, heard.message))
}

fn too_new(bench: &Bench) -> Verdict {
    let (mut session, _) = refused(bench, json!(["99.0", "2.0"]))?;
    session.ends_with(3, bench.limits.exit())
}

fn too_old(bench: &Bench) -> Verdict {
    let (mut session, _) = refused(bench, json!(["0.1"]))?;
    session.ends_with(3, bench.limits.exit())
}

fn none(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    let id = session.ask("initialize", offer(bench, json!([])))?;
    // The schema says that there is at least one.
    let heard = session.error(&id, &[1001, -32602], bench.limits.initialize())?;
    if heard.code() == Some(1001) {
        return session.ends_with(3, bench.limits.exit());
    }
    Ok(())
}

fn supported(bench: &Bench) -> Verdict {
    let (_, error) = refused(bench, json!(["99.0"]))?;
    let data = &error["error"]["data"];
    let faults = super::shape::faults("unsupported-version.data", data)?;
    ensure!(faults.is_empty(), "data of 1001: {faults}: {data}");
    let list = data["supported"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(list.iter().any(|v| v == "1.0"), "1.0 is not in the list of 1001: {data}");
    Ok(())
}

fn capabilities(bench: &Bench) -> Verdict {
    let mut params = bench.initialize_params();
    params["capabilities"] = json!({"fly": true, "swim": {"depth": 3}, "none": null});
    let mut session = bench.session_with(params)?;
    let id = session.ask("task/run", bench.brief("capable")?)?;
    session.result(&id, bench.limits.brief_task()).map(drop)
}

fn newer_minor(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for (number, version) in ["1.0", "1.1", "1.65535"].into_iter().enumerate() {
        let mut params = bench.brief(&format!("minor-{number}"))?;
        params["schemaVersion"] = version.into();
        let id = session.ask("task/run", params)?;
        let result = session.result(&id, bench.limits.brief_task());
        result.map_err(|failure| failure.within(&format!("schemaVersion {version}")))?;
    }
    Ok(())
}

fn other_major(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for (number, version) in ["2.0", "0.9"].into_iter().enumerate() {
        let mut params = bench.brief(&format!("major-{number}"))?;
        params["schemaVersion"] = version.into();
        session.ask_error("task/run", params, &[1002])?;
    }
    Ok(())
}
