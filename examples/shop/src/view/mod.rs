//! What a person sees: a terminal and a web page, both of the same snapshot.

pub mod terminal;
pub mod web;
