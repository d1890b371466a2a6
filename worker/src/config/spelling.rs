// SPDX-License-Identifier: MIT OR Apache-2.0

//! "Did you mean": the known name nearest to a mistyped one.

/// Longest name that is compared, in characters; nobody mistypes a longer one.
const MAX_NAME_CHARS: usize = 64;

/// The candidate that `name` is probably a misspelling of: at most one edit for three letters.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    within(name, candidates, (name.chars().count() / 3).max(1))
}

/// The nearest of the candidates that are at most so many edits away.
pub(crate) fn within<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    limit: usize,
) -> Option<&'a str> {
    let wanted = folded(name)?;
    candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(&wanted, &folded(candidate)?), candidate)))
        .filter(|(edits, candidate)| *edits <= limit && *edits < candidate.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// The letters that are compared: case and `-` against `_` make no difference.
fn folded(name: &str) -> Option<Vec<char>> {
    let fold = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    let letters: Vec<char> = name.chars().take(MAX_NAME_CHARS + 1).map(fold).collect();
    (letters.len() <= MAX_NAME_CHARS).then_some(letters)
}

/// Optimal string alignment: insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, candidates: &[&str], expected: Option<&str>) {
        assert_eq!(nearest(name, candidates.iter().copied()), expected, "{name}");
    }

    #[test]
    fn a_small_slip_finds_the_name() {
        let keys = ["numa_preferred", "concurrent", "locks", "bin", "args", "pc1", "pc2"];
        check("numa_prefered", &keys, Some("numa_preferred"));
        check("concurent", &keys, Some("concurrent"));
        check("conucrrent", &keys, Some("concurrent"));
        check("lock", &keys, Some("locks"));
        check("numa-preferred", &keys, Some("numa_preferred"));
        check("PC1", &keys, Some("pc1"));
        check("bni", &keys, Some("bin"));
    }

    #[test]
    fn what_is_far_from_all_finds_none() {
        check("weather", &["numa_preferred", "locks"], None);
        check("x", &["y"], None);
        check("", &["bin"], None);
        check(&"a".repeat(100), &["bin"], None);
        check("anything", &[], None);
    }
}
