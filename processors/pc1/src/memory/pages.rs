// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kinds of pages that labels may live in, best first.

use std::{fmt, fs};

/// A kind of page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pages {
    /// 1 GiB, set aside by the administrator (hugetlb).
    OneGib,
    /// 2 MiB, set aside by the administrator (hugetlb).
    TwoMib,
    /// 2 MiB where the kernel can, without anything set aside.
    Transparent,
    /// 4 KiB.
    Plain,
}

impl Pages {
    /// All kinds, best first.
    pub const ALL: [Self; 4] = [Self::OneGib, Self::TwoMib, Self::Transparent, Self::Plain];

    /// Bytes of a page, as far as alignment is concerned.
    pub fn bytes(self) -> usize {
        match self {
            Self::OneGib => 1 << 30,
            Self::TwoMib | Self::Transparent => 2 << 20,
            Self::Plain => 4 << 10,
        }
    }

    /// Flags of mmap(2) beyond those of any private anonymous mapping. The size of a huge page is
    /// its binary logarithm in bits 26 to 31 (`MAP_HUGE_SHIFT`).
    pub fn flags(self) -> libc::c_int {
        match self {
            Self::OneGib => libc::MAP_HUGETLB | (30 << libc::MAP_HUGE_SHIFT),
            Self::TwoMib => libc::MAP_HUGETLB | (21 << libc::MAP_HUGE_SHIFT),
            Self::Transparent | Self::Plain => libc::MAP_NORESERVE,
        }
    }

    /// Bytes that are free in pages of this kind: on `node`, or on all. `None` where nothing is set
    /// aside, so that free memory is all there is to ask for.
    pub fn set_aside(self, node: Option<u32>) -> Option<u64> {
        let kib = match self {
            Self::OneGib => 1 << 20,
            Self::TwoMib => 2 << 10,
            Self::Transparent | Self::Plain => return None,
        };
        let pool = match node {
            Some(node) => format!("/sys/devices/system/node/node{node}/hugepages"),
            None => "/sys/kernel/mm/hugepages".to_owned(),
        };
        let free = fs::read_to_string(format!("{pool}/hugepages-{kib}kB/free_hugepages"));
        let n_free: u64 = free.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Some(n_free * self.bytes() as u64)
    }

    /// Whether the kernel gives huge pages that nobody has set aside, always or to who asks.
    pub fn transparent_is_on() -> bool {
        let enabled = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
        enabled.is_ok_and(|text| !text.contains("[never]"))
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneGib => "1 GiB pages",
            Self::TwoMib => "2 MiB pages",
            Self::Transparent => "transparent huge pages",
            Self::Plain => "4 KiB pages",
        })
    }
}

/// The kind for labels of `wanted` bytes in all: the best that is set aside in a sufficient amount,
/// or transparent ones, or plain ones.
pub fn choose(
    wanted: u64,
    set_aside: impl Fn(Pages) -> Option<u64>,
    transparent_is_on: bool,
) -> Pages {
    for pages in [Pages::OneGib, Pages::TwoMib] {
        // A page that is mostly empty is worse than a smaller one.
        let fits = wanted >= pages.bytes() as u64;
        if fits && set_aside(pages).is_some_and(|free| free >= wanted) {
            return pages;
        }
    }
    let small = wanted < Pages::Transparent.bytes() as u64;
    if transparent_is_on && !small { Pages::Transparent } else { Pages::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_pages_that_suffice_are_taken() {
        const GIB: u64 = 1 << 30;
        let check = |wanted, gib: u64, mib: u64, transparent, expected| {
            let set_aside = |pages| match pages {
                Pages::OneGib => Some(gib),
                Pages::TwoMib => Some(mib),
                _ => None,
            };
            assert_eq!(choose(wanted, set_aside, transparent), expected, "{wanted} {gib} {mib}");
        };
        check(64 * GIB, 64 * GIB, 0, true, Pages::OneGib);
        check(64 * GIB, 63 * GIB, 64 * GIB, true, Pages::TwoMib);
        check(64 * GIB, 0, 63 * GIB, true, Pages::Transparent);
        check(64 * GIB, 0, 0, false, Pages::Plain);
        check(16 << 20, 64 * GIB, 64 * GIB, true, Pages::TwoMib);
        check(4096, 64 * GIB, 64 * GIB, true, Pages::Plain);
    }
}
