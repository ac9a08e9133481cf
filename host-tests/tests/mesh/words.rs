//! The words of the command line, which know nothing of the simulation, are the simulation's.

#[path = "../../examples/mesh/arguments.rs"]
#[allow(dead_code, reason = "only the words are looked at")]
mod arguments;

use tracelift_host::mesh::{Sabotage, Trouble};

#[test]
fn the_words_of_the_command_line_are_those_of_the_simulation() {
    assert_eq!(arguments::TROUBLES, Trouble::NAMES.map(|(_, name)| name));
    assert_eq!(arguments::SABOTAGES, Sabotage::NAMES.map(|(_, name)| name));
}
