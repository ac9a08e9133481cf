//! Short texts, copied where they have their room already.

/// Copies a text of the same length: a short one by words, since in a VM to copy a block of memory is a call to the host's code, whatever
/// its length. Not in a loop, of which the compiler would make that call again.
pub fn copy(to: &mut [u8], from: &[u8]) {
    if to.len() != from.len() {
        return;
    }
    match from.len() {
        0..4 => match (to, from) {
            ([a], [x]) => *a = *x,
            ([a, b], [x, y]) => (*a, *b) = (*x, *y),
            ([a, b, c], [x, y, z]) => (*a, *b, *c) = (*x, *y, *z),
            _ => {}
        },
        4..8 => both_ends::<4>(to, from),
        8..16 => both_ends::<8>(to, from),
        16..32 => both_ends::<16>(to, from),
        32..=64 => both_ends::<32>(to, from),
        #[allow(clippy::disallowed_methods, reason = "the lengths are the same")]
        _ => to.copy_from_slice(from),
    }
}

/// Copies N to 2 N bytes: the first N and the last N, of which some may be the same.
#[inline(always)] // A few instructions.
fn both_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_copied_whole() {
        for length in 0..200 {
            let text: Vec<u8> = (1..=length).collect();
            let mut room = vec![0; text.len()];
            copy(&mut room, &text);
            assert_eq!(room, text);
        }
    }
}
