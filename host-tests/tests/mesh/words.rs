//! The words of the command line, which know nothing of the simulation, are the simulation's; and its matcher, which knows nothing of the
//! engine, has the conditions that the filter goes by.

#[path = "../../examples/mesh/arguments.rs"]
#[allow(dead_code, reason = "only the words are looked at")]
mod arguments;

use tracelift::border;
use tracelift_host::matcher;
use tracelift_host::mesh::{Sabotage, Trouble};

#[test]
fn the_words_of_the_command_line_are_those_of_the_simulation() {
    assert_eq!(arguments::TROUBLES, Trouble::NAMES.map(|(_, name)| name));
    assert_eq!(arguments::SABOTAGES, Sabotage::NAMES.map(|(_, name)| name));
}

#[test]
fn the_simulated_matcher_has_the_conditions_that_the_filter_goes_by() {
    let said = |condition: &border::Condition| (condition.header, condition.prefix);
    assert_eq!(border::NOTABLE.each_ref().map(said), matcher::NOTABLE);
    assert_eq!(border::NOTABLE_AT_EDGE.each_ref().map(said), matcher::NOTABLE_AT_EDGE);
    assert_eq!(border::ASKED, matcher::ASKED);
}
