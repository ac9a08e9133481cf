//! What a user writes, checked whole into what the filter uses.
