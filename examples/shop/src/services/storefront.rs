//! What visitors talk to.

use super::{Method, PATIENT, Routes, Serving, or_bad_gateway};
use crate::plan::Fault;
use axum::Extension;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use std::time::Duration;

/// When a visitor's patience with a payment is over; shorter than Envoy's own time limit for the bank.
const IMPATIENT: Duration = Duration::from_millis(500);

pub(crate) fn routes() -> Routes {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/browse/{visit}", get(browse))
        .route("/cart/{visit}", get(cart))
        .route("/checkout/{visit}", post(checkout))
}

async fn healthz(Extension(serving): Extension<Serving>) -> StatusCode {
    if serving.visit.fault == Some(Fault::ProbeUnready) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

async fn browse(Extension(serving): Extension<Serving>) -> StatusCode {
    let path = format!("/items/{}", serving.visit.number);
    or_bad_gateway(serving.call("catalog", Method::Get, &path, PATIENT).await)
}

async fn cart(Extension(serving): Extension<Serving>) -> StatusCode {
    let path = format!("/carts/{}", serving.visit.number);
    or_bad_gateway(serving.call("cart", Method::Get, &path, PATIENT).await)
}

async fn checkout(Extension(serving): Extension<Serving>) -> StatusCode {
    let cart = cart(Extension(serving.clone())).await;
    if !cart.is_success() {
        return cart;
    }
    let path = format!("/payments/{}", serving.visit.number);
    let impatient = serving.visit.fault == Some(Fault::Impatience);
    let payment = serving.call("payment", Method::Post, &path, if impatient { IMPATIENT } else { PATIENT }).await;
    if impatient { payment } else { or_bad_gateway(payment) }
}
