//! The calls into the operating system that need `unsafe`, and nothing else.
//!
//! **Invariants**: every function is safe to call from any thread and takes no pointer.
#![allow(
    unsafe_code,
    reason = "the standard library has no processor time and no timer slack"
)]

use std::mem::MaybeUninit;
use std::time::Duration;

/// Processor time, user and system, of all threads of this process so far.
pub(crate) fn process_cpu_time() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: `getrusage` writes one `rusage` to the pointer, which is valid for that.
    let status = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    assert_eq!(status, 0, "RUSAGE_SELF and a valid pointer cannot fail");
    // SAFETY: the call returned 0, so it has filled the struct.
    let usage = unsafe { usage.assume_init() };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

/// Processor time of the calling thread so far.
pub(crate) fn thread_cpu_time() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `clock_gettime` writes one `timespec` to the pointer, which is valid for that.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()) };
    assert_eq!(status, 0, "the clock of the calling thread always exists");
    // SAFETY: the call returned 0, so it has filled the struct.
    let time = unsafe { time.assume_init() };
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).expect("below 10^9"),
    )
}

/// Lets sleeps of the calling thread end within a nanosecond of their time instead of within 50 µs.
pub(crate) fn wake_up_precisely() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: `PR_SET_TIMERSLACK` takes an integer and changes nothing but the calling thread's timers.
        let status = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
        assert_eq!(status, 0, "a positive timer slack is always accepted");
    }
}

/// Bytes of a memory page.
pub(crate) fn page_bytes() -> u64 {
    // SAFETY: `sysconf` reads a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).expect("every system has a page size")
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.unsigned_abs())
        + Duration::from_micros(time.tv_usec.unsigned_abs())
}
