//! What is published: the module, what it says of itself, and the images that carry it.

mod archive;
pub(crate) mod beside;
pub(crate) mod changelog;
pub(crate) mod chart;
mod crates;
pub(crate) mod digest;
pub(crate) mod elf;
pub(crate) mod image;
pub(crate) mod layout;
pub(crate) mod library;
pub(crate) mod module;
pub(crate) mod notices;
mod rooms;
pub(crate) mod sbom;
pub(crate) mod sizes;
