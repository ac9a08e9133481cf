//! Preloaded into Envoy by `clock.rs`, which compiles it: the wall clock, moved by as many seconds as the file says that
//! `STEPPING_CLOCK` names (8 bytes, native order). All other clocks go on as they do.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

#[repr(C)]
pub struct Time {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn mmap(at: *mut c_void, length: usize, protection: c_int, flags: c_int, file: c_int, offset: i64) -> *mut c_void;
}

#[cfg(target_arch = "x86_64")]
const CLOCK_GETTIME: c_long = 228;
#[cfg(target_arch = "aarch64")]
const CLOCK_GETTIME: c_long = 113;
const CLOCK_REALTIME: c_int = 0;
const MAP_FAILED: *mut c_void = !0 as *mut c_void;

static STEP: AtomicPtr<i64> = AtomicPtr::new(null_mut());

/// The mapped file; null while there is none.
fn step() -> *mut i64 {
    let known = STEP.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    // SAFETY: plain system calls with valid arguments; a lost race maps the file twice, which is harmless.
    unsafe {
        let path = getenv(c"STEPPING_CLOCK".as_ptr());
        if path.is_null() {
            return null_mut();
        }
        let file = open(path, 0);
        let mapped = if file < 0 { MAP_FAILED } else { mmap(null_mut(), 8, 1, 1, file, 0) };
        if mapped == MAP_FAILED {
            return null_mut();
        }
        STEP.store(mapped.cast(), Ordering::Release);
        mapped.cast()
    }
}

/// libc's function of this name.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    // SAFETY: the caller's pointer is handed on; the mapping is never undone, and its bytes are a whole number.
    unsafe {
        let result = syscall(CLOCK_GETTIME, clock, time);
        let step = step();
        if result == 0 && clock == CLOCK_REALTIME && !step.is_null() {
            (*time).seconds += step.read_volatile();
        }
        result as c_int
    }
}
