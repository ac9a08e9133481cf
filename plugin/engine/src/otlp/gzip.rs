//! Gzip (RFC 1952). The frame is ours: a crate for it would bring a checksum whose table alone is 16 KB of the module.

use miniz_oxide::DataFormat;
use miniz_oxide::deflate::CompressionLevel;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, compress_to_output};

/// RFC 1952, section 2.3: magic, DEFLATE, no flags, no time, fastest algorithm, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// The CRC-32 of each byte. RFC 1952, section 8.
const TABLE: [u32; 256] = table();

/// Appends the message, compressed: a batch of like spans shrinks well even at the fastest level.
pub fn append(message: &[u8], body: &mut Vec<u8>) {
    body.extend_from_slice(&HEADER);
    let mut compressor = CompressorOxide::with_format_and_level(DataFormat::Raw, CompressionLevel::BestSpeed);
    // It fails only when its output is refused, and a `Vec` takes all.
    compress_to_output(&mut compressor, message, TDEFLFlush::Finish, |output| {
        body.extend_from_slice(output);
        true
    });
    body.extend_from_slice(&crc32(message).to_le_bytes());
    body.extend_from_slice(&(message.len() as u32).to_le_bytes()); // Modulo 2^32, as the RFC has it.
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        let [low, ..] = crc.to_le_bytes();
        TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default() ^ (crc >> 8)
    })
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_catalogues() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926); // "check" of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b""), 0);
    }

    proptest! {
        #[test]
        fn messages_come_back_whole_behind_what_the_body_had(
            prefix in prop::collection::vec(any::<u8>(), 0..6),
            piece in prop::collection::vec(any::<u8>(), 0..300),
            times in 0_usize..1_000,
        ) {
            let message = piece.repeat(times);
            let mut body = prefix.clone();
            append(&message, &mut body);
            let compressed = body.strip_prefix(prefix.as_slice()).expect("the prefix");
            let mut found = Vec::new();
            GzDecoder::new(compressed).read_to_end(&mut found).expect("gzip"); // Checks checksum and length, too.
            prop_assert_eq!(found, message);
        }
    }
}
