//! Operations of the door that fail on demand.

use std::cell::Cell;

/// What can fail. Those of the door that return nothing are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The clock: it says 0.
    Now,
    /// The random source.
    Random,
    /// Reading a shared value.
    Shared,
    /// Writing one.
    Swap,
    /// Another worker rewrites a value between a read and the write that follows.
    Contend,
    /// Sending a request.
    Call,
    /// Reading an answer.
    AnswerPart,
    /// Entering a root's context from a stream's.
    EnterRoot,
    /// Coming back from it.
    LeaveRoot,
    /// Defining a metric.
    Define,
    /// Adding to one.
    Count,
    /// Reading all headers of a side.
    Headers,
    /// Reading one header.
    Header,
    /// Copying all headers.
    Copied,
    /// Adding a header.
    Add,
    /// Replacing one.
    Replace,
    /// Removing one.
    Remove,
    /// An attribute that is a number.
    Number,
    /// An attribute that is a text.
    Text,
    /// Attributes together.
    Attributes,
    /// Answering a request.
    Answer,
}

impl Operation {
    /// All of them, in the order of the enum.
    pub const ALL: [Self; 21] = [
        Self::Now,
        Self::Random,
        Self::Shared,
        Self::Swap,
        Self::Contend,
        Self::Call,
        Self::AnswerPart,
        Self::EnterRoot,
        Self::LeaveRoot,
        Self::Define,
        Self::Count,
        Self::Headers,
        Self::Header,
        Self::Copied,
        Self::Add,
        Self::Replace,
        Self::Remove,
        Self::Number,
        Self::Text,
        Self::Attributes,
        Self::Answer,
    ];
}

/// One operation's fault.
#[derive(Clone, Copy, Debug, Default)]
struct Fault {
    /// Every so many calls fail; 0 for none.
    every: u32,
    calls: u32,
    failed: u32,
}

/// The faults of a process.
#[derive(Debug, Default)]
pub struct Faults([Cell<Fault>; Operation::ALL.len()]);

impl Faults {
    /// From now on each `every`-th call of the operation fails: 1 for all, 0 for none.
    pub fn set(&self, operation: Operation, every: u32) {
        let place = &self.0[operation as usize];
        place.set(Fault { every, calls: 0, ..place.get() });
    }

    /// Everything works again.
    pub fn clear(&self) {
        Operation::ALL.into_iter().for_each(|operation| self.set(operation, 0));
    }

    /// How often the operation has failed.
    pub fn failed(&self, operation: Operation) -> u32 {
        self.0[operation as usize].get().failed
    }

    /// Whether this call fails.
    pub(super) fn strikes(&self, operation: Operation) -> bool {
        let place = &self.0[operation as usize];
        let mut fault = place.get();
        fault.calls = fault.calls.wrapping_add(1);
        let strikes = fault.every != 0 && fault.calls.is_multiple_of(fault.every);
        fault.failed += u32::from(strikes);
        place.set(fault);
        strikes
    }
}
