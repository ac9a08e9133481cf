//! Hostcalls that go wrong on purpose, or meet another VM half-way.

use std::fmt;

use crate::shared::SharedData;
use crate::{Status, VmId};

/// A hostcall that is about to run, as a fault rule sees it.
pub struct Hostcall<'a> {
    /// The import's name, such as `proxy_set_shared_data`.
    pub name: &'static str,
    /// The VM that calls.
    pub vm: VmId,
    /// Its effective context.
    pub context: u32,
    /// Shared data, to change it "from another VM" between this one's read and write.
    pub shared_data: &'a mut SharedData,
}

type Rule = Box<dyn FnMut(&mut Hostcall<'_>) -> Option<Status> + Send>;

/// The rules a test has set, oldest first; the first that names a status wins.
#[derive(Default)]
pub(crate) struct Faults(Vec<Rule>);

impl Faults {
    pub(crate) fn add(&mut self, rule: impl FnMut(&mut Hostcall<'_>) -> Option<Status> + Send + 'static) {
        self.0.push(Box::new(rule));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn status_of(&mut self, call: &mut Hostcall<'_>) -> Option<Status> {
        self.0.iter_mut().find_map(|rule| rule(call))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fault rules", self.0.len())
    }
}
