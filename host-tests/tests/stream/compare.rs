//! The module's own `memcmp`, by its export: Rust compares every slice of the module with it.

use std::cmp::Ordering;

use tracelift_host::testing;
use wasmtime::{Engine, Linker, Module, Store};

/// The longest text that is compared: some words, and a rest of every length.
const LONGEST: usize = 40;
/// Where the texts are written: a page of the module's memory that is added for them.
const PAGE: usize = 64 * 1024;

#[test]
fn texts_of_any_length_and_place_are_ordered_by_their_first_byte_that_differs() {
    let engine = Engine::default();
    let module = Module::from_file(&engine, testing::module_path()).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker.define_unknown_imports_as_traps(&module).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let memcmp = instance.get_typed_func::<(u32, u32, u32), i32>(&mut store, "memcmp").unwrap();
    let start = usize::try_from(memory.grow(&mut store, 1).unwrap()).unwrap() * PAGE;

    let mut compared = 0;
    let mut compare = |left: &[u8], right: &[u8], (before, apart): (usize, usize)| {
        let (one, other) = (start + before, start + before + LONGEST + apart);
        memory.write(&mut store, one, left).unwrap();
        memory.write(&mut store, other, right).unwrap();
        let [one, other, size] = [one, other, left.len()].map(|number| u32::try_from(number).unwrap());
        compared += 1;
        memcmp.call(&mut store, (one, other, size)).unwrap().cmp(&0)
    };
    for length in 0..=LONGEST {
        let text: Vec<u8> = (0..length).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        for places in [(0, 0), (1, 0), (3, 2), (7, 5)] {
            assert_eq!(compare(&text, &text, places), Ordering::Equal, "{length} bytes at {places:?}");
            for at in 0..length {
                for byte in [0, 1, 0x7f, 0x80, 0xff] {
                    // What comes behind the first difference says the opposite, and does not count.
                    let mut other = text.clone();
                    other[at] = byte;
                    other[at + 1..].iter_mut().for_each(|later| *later = if byte < text[at] { 0xff } else { 0 });
                    let expected = text.cmp(&other);
                    assert_eq!(compare(&text, &other, places), expected, "byte {at} of {length} at {places:?}: {byte}");
                    assert_eq!(compare(&other, &text, places), expected.reverse(), "byte {at} of {length}, reversed");
                }
            }
        }
    }
    assert!(30_000 < compared, "{compared} comparisons");
}
