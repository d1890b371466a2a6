// SPDX-License-Identifier: MIT OR Apache-2.0

//! Time for measurements: of a thread, and the core's clock.

#![expect(unsafe_code, reason = "a chain of instructions and a clock that no crate wraps")]

/// Seconds that the calling thread has computed.
pub fn thread_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the time to a local.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The core's clock in Hz: a chain of dependent additions takes one cycle each.
#[cfg(target_arch = "x86_64")]
pub fn hertz() -> f64 {
    const LOOPS: u64 = 1_000_000;
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let began = thread_seconds();
        // SAFETY: arithmetic on two registers.
        unsafe {
            std::arch::asm!(
                "2:",
                "add {sum}, {sum}", "add {sum}, {sum}", "add {sum}, {sum}", "add {sum}, {sum}",
                "dec {n}",
                "jnz 2b",
                sum = inout(reg) 1_u64 => _,
                n = inout(reg) LOOPS => _,
            );
        }
        best = best.min(thread_seconds() - began);
    }
    4.0 * LOOPS as f64 / best
}
