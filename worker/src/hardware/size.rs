// SPDX-License-Identifier: MIT OR Apache-2.0

//! Numbers of bytes as people write and read them.

/// The binary units, each 1024 times the one before.
const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// Reads `64GiB`, `1.5 TiB`, `512G` or a number of bytes. Letters alone mean the binary unit.
///
/// # Errors
/// The text is none of that, or too much.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size such as 64GiB or 2TiB");
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let unit = unit.trim().to_ascii_uppercase();
    let is_unit = |name: &str| {
        let name = name.to_ascii_uppercase();
        name == unit || (unit.len() == 1 && name.starts_with(&unit))
    };
    let power = match unit.as_str() {
        "" => 0,
        _ => UNITS.iter().position(|name| is_unit(name)).ok_or_else(wrong)?,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let scale = 1_u64 << (10 * power);
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    // Three digits are finer than anybody counts in.
    let thousandths =
        format!("{fraction:0<3}").get(..3).and_then(|digits| digits.parse::<u64>().ok());
    let thousandths = thousandths.ok_or_else(wrong)?;
    let part =
        u64::try_from(u128::from(scale) * u128::from(thousandths) / 1000).unwrap_or(u64::MAX);
    whole.checked_mul(scale).and_then(|bytes| bytes.checked_add(part)).ok_or_else(wrong)
}

/// The number in the largest unit of which there is at least one: `1.9 TiB`, `64 GiB`.
pub fn shown(bytes: u64) -> String {
    let mut power = 0;
    while power + 1 < UNITS.len() && bytes >> (10 * (power + 1)) > 0 {
        power += 1;
    }
    let scale = 1_u64 << (10 * power);
    let tenths = (u128::from(bytes) * 10 + u128::from(scale) / 2) / u128::from(scale);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let unit = UNITS[power];
    if tenth == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenth} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_units() {
        let check = |text: &str, expected: u64| assert_eq!(parse(text), Ok(expected), "{text}");
        check("0", 0);
        check("4096", 4096);
        check("64GiB", 64 << 30);
        check("64 gib", 64 << 30);
        check("2T", 2 << 40);
        check("1.5KiB", 1536);
        check("10G", 10 << 30);
    }

    #[test]
    fn what_is_no_size_is_an_error() {
        for text in
            ["", "GiB", "-1", "1GB2", "1.2.3G", "99999999999999999999", "20000000PiB", "1.x"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_their_largest_unit() {
        let check = |bytes: u64, expected: &str| assert_eq!(shown(bytes), expected);
        check(0, "0 B");
        check(1023, "1023 B");
        check(64 << 30, "64 GiB");
        check((2 << 40) - (64 << 30), "1.9 TiB");
        check(2 << 40, "2 TiB");
        check(u64::MAX, "16384 PiB");
    }
}
