//! Talks to the bank.

use super::{BANK, Method, PATIENT, Routes, Serving, or_bad_gateway};
use axum::routing::post;
use axum::{Extension, Router, http::StatusCode};

pub(crate) fn routes() -> Routes {
    Router::new().route("/payments/{visit}", post(pay))
}

async fn pay(Extension(serving): Extension<Serving>) -> StatusCode {
    let path = format!("/charges/{}", serving.visit.number);
    or_bad_gateway(serving.call(BANK, Method::Post, &path, PATIENT).await)
}
