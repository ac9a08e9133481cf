//! The rate that steers itself: a ratio that follows a target, and is raised for a while when requests fail or slow down.
//!
//! Pure: sums of counts and the time go in, the ratio in force comes out, with what changed it. What goes in is known before the requests
//! that the ratio will decide, so that `th` counts right at every moment. The state is one value that workers share: whoever finds an
//! interval over takes the step, and all others find it taken.

mod alarm;
mod boost;
mod bound;
mod bytes;
mod fill;
mod settings;
mod state;
mod step;
mod sums;
mod words;

pub use boost::Turn;
pub use bound::{Bound, BoundChange};
pub use fill::fill;
pub use settings::{BoostSettings, By, Settings, TargetSettings};
pub use state::Pace;
pub use step::{Cause, Step};
pub use sums::Sums;
pub use words::{decimal, percent};
