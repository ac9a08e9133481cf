//! The page in a real Chromium, used as people use it: by clicks and keys.

mod browser;
mod configuration;
mod forecast;
mod mesh;
mod page;
mod rate;
