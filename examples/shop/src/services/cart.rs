//! Knows what a visitor wants to buy, and asks the catalog for the prices.

use super::{Method, PATIENT, Routes, Serving, or_bad_gateway};
use crate::plan::Fault;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Router};

pub(crate) fn routes() -> Routes {
    Router::new().route("/carts/{visit}", get(cart))
}

async fn cart(Extension(serving): Extension<Serving>) -> StatusCode {
    let path = format!("/items/{}", serving.visit.number);
    let prices = serving.call("catalog", Method::Get, &path, PATIENT).await;
    if serving.visit.fault == Some(Fault::Swallowed) {
        return StatusCode::OK; // Shows yesterday's prices, and nobody above learns that something broke.
    }
    or_bad_gateway(prices)
}
