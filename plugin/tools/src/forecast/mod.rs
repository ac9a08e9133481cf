//! What a policy will cost and keep: spans, bytes, a month's bill, and how whole failed traces stay, beside keeping everything
//! and beside a head decision alone. From given rates, or from what really happened (access logs, OTLP dumps), replayed
//! through the code that decides in the filter.

mod access_log;
mod adaptive;
mod container;
mod judge;
mod kinds;
mod lines;
mod notes;
mod otlp;
mod otlp_json;
mod price;
mod rates;
mod record;
mod replay;
mod row;
mod skip;
mod status;
mod steer;
mod sums;
mod trace;

pub use adaptive::{Adaptive, Changes, Event, Point};
pub use kinds::{KindName, KindRow, KindsForecast};
pub use lines::{Format, Lines};
pub use price::{Item, PriceTable};
pub use rates::{Rates, forecast};
pub use record::{Record, Role};
pub use replay::{Replay, ReplayError};
pub use row::{Forecast, MONTH_SECONDS, Row};
pub use skip::Skipped;
