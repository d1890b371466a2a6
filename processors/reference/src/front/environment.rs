// SPDX-License-Identifier: MIT OR Apache-2.0

//! The environment of a helper process: the library's settings that follow from its cpus.

use sealpipe_protocol::Stage;

/// Producer threads beside the hashing one that the library uses unless told otherwise
/// (storage-proofs-core, `settings.rs`, `multicore_sdr_producers`).
const MAX_PRODUCERS: usize = 3;

/// Variables for a helper process of `stage` on `n_cpus`; `None` takes one away. Settings that
/// `is_set` already stay as they are.
pub fn of(
    stage: Stage,
    n_cpus: usize,
    is_set: impl Fn(&str) -> bool,
) -> Vec<(&'static str, Option<String>)> {
    let mut variables = Vec::new();
    let mut unless_set = |name, value: String| {
        if !is_set(name) {
            variables.push((name, Some(value)));
        }
    };
    unless_set("RAYON_NUM_THREADS", n_cpus.max(1).to_string());
    if !matches!(stage, Stage::Pc1 | Stage::Unseal) {
        return variables;
    }
    if n_cpus >= 2 {
        // Six times faster than one core when it is built for any x86-64.
        unless_set("FIL_PROOFS_USE_MULTICORE_SDR", "1".to_owned());
        let producers = (n_cpus - 1).min(MAX_PRODUCERS);
        unless_set("FIL_PROOFS_MULTICORE_SDR_PRODUCERS", producers.to_string());
    }
    // The library binds its threads to cores of the whole machine as if it were alone there. A
    // described machine is not this one, so hwloc leaves the threads where they are.
    let described = format!("pack:1 core:{} pu:1", n_cpus.max(1));
    variables.push(("HWLOC_SYNTHETIC", Some(described)));
    variables
        .extend(["HWLOC_XMLFILE", "HWLOC_THISSYSTEM", "HWLOC_FSROOT"].map(|name| (name, None)));
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(stage: Stage, n_cpus: usize, set: &[&str], name: &str) -> Option<String> {
        let variables = of(stage, n_cpus, |name| set.contains(&name));
        variables.into_iter().find(|(n, _)| *n == name).and_then(|(_, value)| value)
    }

    #[test]
    fn threads_and_producers_follow_from_the_cpus() {
        let producers = "FIL_PROOFS_MULTICORE_SDR_PRODUCERS";
        assert_eq!(value(Stage::Pc1, 2, &[], producers).as_deref(), Some("1"));
        assert_eq!(value(Stage::Pc1, 8, &[], producers).as_deref(), Some("3"));
        assert_eq!(value(Stage::Pc1, 1, &[], producers), None);
        assert_eq!(value(Stage::Pc2, 8, &[], producers), None);
        assert_eq!(value(Stage::Pc2, 8, &[], "RAYON_NUM_THREADS").as_deref(), Some("8"));
    }

    #[test]
    fn what_a_person_has_set_stays() {
        let multicore = "FIL_PROOFS_USE_MULTICORE_SDR";
        assert_eq!(value(Stage::Pc1, 8, &[], multicore).as_deref(), Some("1"));
        assert_eq!(value(Stage::Pc1, 8, &[multicore], multicore), None);
    }

    #[test]
    fn binding_is_switched_off_where_the_library_binds() {
        let described = value(Stage::Unseal, 4, &["HWLOC_SYNTHETIC"], "HWLOC_SYNTHETIC");
        assert_eq!(described.as_deref(), Some("pack:1 core:4 pu:1"));
        assert_eq!(value(Stage::C2, 4, &[], "HWLOC_SYNTHETIC"), None);
    }
}
