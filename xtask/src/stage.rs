//! What a command does, said before it is done, with how long it takes.

/// The stages of a command, numbered.
pub(crate) struct Stages {
    all: usize,
    begun: usize,
}

impl Stages {
    /// That many.
    pub(crate) fn new(all: usize) -> Self {
        Self { all, begun: 0 }
    }

    /// Says which stage begins, and how long the first time takes: the others are what Cargo and the cache make of it.
    pub(crate) fn begin(&mut self, what: &str, first_time: &str) {
        println!("{}", self.line(what, first_time));
    }

    fn line(&mut self, what: &str, first_time: &str) -> String {
        self.begun += 1;
        format!("[{}/{}] {what} (the first time {first_time}) …", self.begun, self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_counted_and_say_what_to_expect() {
        let mut stages = Stages::new(2);
        assert_eq!(stages.line("Building", "2 minutes"), "[1/2] Building (the first time 2 minutes) …");
        assert_eq!(stages.line("Starting", "seconds"), "[2/2] Starting (the first time seconds) …");
    }
}
