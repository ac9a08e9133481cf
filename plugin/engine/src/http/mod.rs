//! HTTP and gRPC as a proxy shows them: statuses, response flags, header maps, numbers and dates in headers. Knows nothing of
//! the other rooms.

mod copy;
mod flags;
mod grpc;
mod name;
pub mod pairs;
mod retry_after;
mod status;

pub use copy::copy;
pub use flags::ResponseFlags;
pub use grpc::{GrpcStatus, GrpcStatusSet};
pub use name::{HeaderName, NameEnd};
pub use retry_after::{number, retry_after_ms, unix_seconds as http_date};
pub use status::{HttpStatusSet, StatusRange, decimal};
