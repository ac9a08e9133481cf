//! What makes a dropped trace worth keeping after all, and how many a second.
