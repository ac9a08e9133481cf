//! Version and commit in the module's custom sections, which hosts ignore and tools can list.

use tracelift::identity::{COMMIT, VERSION};

#[used]
#[unsafe(link_section = "tracelift.version")]
static VERSION_SECTION: [u8; VERSION.len()] = bytes_of(VERSION);

#[used]
#[unsafe(link_section = "tracelift.commit")]
static COMMIT_SECTION: [u8; COMMIT.len()] = bytes_of(COMMIT);

const fn bytes_of<const N: usize>(text: &str) -> [u8; N] {
    match text.as_bytes().first_chunk::<N>() {
        Some(bytes) => *bytes,
        None => [0; N], // Not reached: each caller's N is the text's own length.
    }
}
