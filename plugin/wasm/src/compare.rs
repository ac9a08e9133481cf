//! `memcmp` by words. Rust compares slices with it, hundreds of times for a request, and the C library's goes byte by byte, which is the
//! smallest way. Linked in its place, since a symbol of ours comes first.

/// C's: below, at or above 0, as the first byte that differs is.
///
/// # Safety
///
/// Both pointers are good for reads of `size` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, size: usize) -> i32 {
    if size < 4 {
        // SAFETY: as the caller promises.
        return unsafe { by_bytes(left, right, size) };
    }
    if size < 8 {
        let last = size.wrapping_sub(4);
        // SAFETY: as the caller promises; the last four bytes may cover some of the first ones again.
        let ((one, other), (one_more, other_more)) =
            unsafe { ((four(left), four(right)), (four(left.add(last)), four(right.add(last)))) };
        return if one == other { order(one_more, other_more) } else { order(one, other) };
    }
    let last = size.wrapping_sub(8);
    let mut at = 0;
    // SAFETY: as the caller promises; `at` stays below `last`, and the last word may cover some of the one before again.
    unsafe {
        while at < last {
            let (one, other) = (eight(left.add(at)), eight(right.add(at)));
            if one != other {
                return order(one, other);
            }
            at = at.wrapping_add(8);
        }
        order(eight(left.add(last)), eight(right.add(last)))
    }
}

/// Words in the order of their bytes: by the first one that differs, which is the lowest.
fn order(left: u64, right: u64) -> i32 {
    if left == right {
        return 0;
    }
    let differ = (left ^ right).trailing_zeros() & !7;
    let byte = |word: u64| (word >> differ) as u8;
    i32::from(byte(left)).wrapping_sub(i32::from(byte(right)))
}

/// # Safety
///
/// Good for a read of four bytes.
unsafe fn four(at: *const u8) -> u64 {
    // SAFETY: as the caller promises; it need not be aligned.
    u64::from(unsafe { at.cast::<u32>().read_unaligned() })
}

/// # Safety
///
/// Good for a read of eight bytes.
unsafe fn eight(at: *const u8) -> u64 {
    // SAFETY: as the caller promises; it need not be aligned.
    unsafe { at.cast::<u64>().read_unaligned() }
}

/// # Safety
///
/// As `memcmp`.
unsafe fn by_bytes(left: *const u8, right: *const u8, size: usize) -> i32 {
    for at in 0..size {
        // SAFETY: as the caller promises.
        let (one, other) = unsafe { (*left.add(at), *right.add(at)) };
        if one != other {
            return i32::from(one).wrapping_sub(i32::from(other));
        }
    }
    0
}
