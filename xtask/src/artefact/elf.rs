//! What a shared library asks of the system that loads it, and what a program offers: the dynamic part of an ELF file, 64 bits,
//! little-endian. System V ABI, chapters 4 and 5; symbol versions as in the Linux Standard Base.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

const STRINGS_OF_NEEDED: u64 = 1; // DT_NEEDED
const DYNAMIC: u32 = 6;
const DYNAMIC_SYMBOLS: u32 = 11;
const VERSIONS_NEEDED: u32 = 0x6fff_fffe;
const SYMBOL_BYTES: usize = 24;

/// The dynamic part of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Elf {
    /// Libraries that are loaded with it.
    pub(crate) libraries: BTreeSet<String>,
    /// Versions of symbols that it must find, as `GLIBC_2.34`.
    pub(crate) versions: BTreeSet<String>,
    /// Symbols that it must find.
    pub(crate) imports: BTreeSet<String>,
    /// Symbols that others may find in it.
    pub(crate) exports: BTreeSet<String>,
}

struct Section<'a> {
    kind: u32,
    data: &'a [u8],
    /// Of the section with its strings.
    link: usize,
}

impl Elf {
    /// Reads a file.
    pub(crate) fn read(file: &[u8]) -> Result<Self> {
        if !file.starts_with(b"\x7fELF\x02\x01") {
            bail!("not an ELF file of 64 bits, little-endian");
        }
        let sections = sections(file).context("the file's sections are damaged")?;
        let mut elf = Self::default();
        for section in &sections {
            let strings = sections.get(section.link).map(|section| section.data).unwrap_or_default();
            match section.kind {
                DYNAMIC => elf.libraries.extend(needed(section.data, strings)),
                DYNAMIC_SYMBOLS => elf.symbols(section.data, strings),
                VERSIONS_NEEDED => elf.versions.extend(versions(section.data, strings)),
                _ => {}
            }
        }
        Ok(elf)
    }

    fn symbols(&mut self, data: &[u8], strings: &[u8]) {
        for symbol in data.chunks_exact(SYMBOL_BYTES) {
            let name = number32(symbol, 0).and_then(|at| text(strings, at as usize));
            let (Some(name), Some(&info), Some(section)) = (name, symbol.get(4), number16(symbol, 6)) else { continue };
            let is_weak = info >> 4 == 2;
            if name.is_empty() {
                continue;
            }
            if section != 0 {
                self.exports.insert(name);
            } else if !is_weak {
                self.imports.insert(name);
            }
        }
    }
}

fn sections(file: &[u8]) -> Option<Vec<Section<'_>>> {
    let table = usize::try_from(number64(file, 0x28)?).ok()?;
    let (size, count) = (usize::from(number16(file, 0x3a)?), usize::from(number16(file, 0x3c)?));
    let mut sections = Vec::new();
    for index in 0..count {
        let header = file.get(table.checked_add(index.checked_mul(size)?)?..)?.get(..size)?;
        let kind = number32(header, 4)?;
        let (offset, bytes) =
            (usize::try_from(number64(header, 0x18)?).ok()?, usize::try_from(number64(header, 0x20)?).ok()?);
        // A section without content in the file has a size all the same.
        let data = file.get(offset..offset.checked_add(bytes)?).unwrap_or_default();
        sections.push(Section { kind, data, link: number32(header, 0x28)? as usize });
    }
    Some(sections)
}

fn needed(data: &[u8], strings: &[u8]) -> Vec<String> {
    let entries = data.chunks_exact(16).filter(|entry| number64(entry, 0) == Some(STRINGS_OF_NEEDED));
    entries.filter_map(|entry| text(strings, usize::try_from(number64(entry, 8)?).ok()?)).collect()
}

/// Each library has a list of versions; both are chained by distances.
fn versions(data: &[u8], strings: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let (mut library, mut next) = (0_usize, 1);
    while next != 0 {
        let read = |at: usize| number32(data, library + at);
        let (Some(count), Some(first), Some(step)) = (number16(data, library + 2), read(8), read(12)) else { break };
        let mut entry = library + first as usize;
        for _ in 0..count {
            found.extend(number32(data, entry + 8).and_then(|name| text(strings, name as usize)));
            entry += number32(data, entry + 12).unwrap_or_default() as usize;
        }
        next = step;
        library += step as usize;
    }
    found
}

fn text(strings: &[u8], at: usize) -> Option<String> {
    let text = strings.get(at..)?.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

fn number64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))
}

fn number16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|bytes| u16::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test is an ELF file itself, linked dynamically.
    #[test]
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    fn a_program_says_which_libraries_and_symbols_it_needs() {
        let elf = Elf::read(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
        assert!(elf.libraries.contains("libc.so.6"), "{:?}", elf.libraries);
        assert!(elf.imports.contains("write") && !elf.exports.contains("write"), "{:?}", elf.imports);
        assert!(elf.versions.iter().any(|version| version.starts_with("GLIBC_2.")), "{:?}", elf.versions);
    }

    #[test]
    fn what_is_no_elf_file_and_what_is_cut_short_is_refused() {
        assert!(Elf::read(b"\0asm").is_err());
        assert!(Elf::read(b"\x7fELF\x02\x01").is_err());
    }
}
