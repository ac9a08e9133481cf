//! Request metrics: how many requests there were and how long they took, counted for every request that the filter serves,
//! whatever is sampled.
//!
//! A worker counts into a [`Recorder`]. On its tick it has new label sets admitted to the process's [`dictionary`], and adds what
//! it counted to a [`slot`] that workers share; one worker sums the slots and exports that by an [`Encoder`]. A slot only grows, and what
//! was added to it is removed from the worker: however often it is read, and by which worker, it counts each request once.

pub mod baseline;
pub mod dictionary;
mod encode;
mod exemplars;
mod histogram;
mod labels;
mod lease;
mod places;
mod recorder;
mod routes;
mod settings;
pub mod slot;
mod varint;
mod window;

pub use encode::{Encoder, Point};
pub use exemplars::{Exemplars, of_point};
pub use histogram::Histogram;
pub use labels::{Instrument, Labels, Scheme, series};
pub use lease::Lease;
pub use recorder::{Name, Recorder, Waiting, is_name};
pub use routes::{MAX_ROUTES, Routes, TemplateError};
pub use settings::{Aggregation, Settings, Temporality};
