//! The page of the running demo in a real Chromium, used as people use it: by clicks and keys.

mod demo;
mod page;
