//! Whether a trace is recorded: thresholds, randomness, rules and the one function that decides. Knows trace context only.
