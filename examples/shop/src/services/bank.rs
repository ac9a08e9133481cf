//! Somebody else's service: no sidecar, outside the mesh, and sometimes slow.

use super::{Routes, Serving};
use crate::plan::{Fault, Operation};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Extension, Router};
use std::time::Duration;
use tokio::time::sleep;

/// What a charge takes.
const CHARGE: Duration = Duration::from_millis(12);
/// Longer than anyone waits.
const STUCK: Duration = Duration::from_secs(5);

pub(crate) fn routes() -> Routes {
    Router::new().route("/charges/{visit}", post(charge))
}

async fn charge(Extension(serving): Extension<Serving>) -> StatusCode {
    let stuck = matches!(serving.visit.fault, Some(Fault::BankTimeout | Fault::Impatience));
    sleep(if stuck { STUCK } else { CHARGE }).await;
    match (serving.visit.fault, serving.visit.operation) {
        (Some(Fault::BankError), _) => StatusCode::INTERNAL_SERVER_ERROR,
        (_, Operation::Declined) => StatusCode::PAYMENT_REQUIRED,
        _ => StatusCode::OK,
    }
}
