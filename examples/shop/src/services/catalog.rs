//! Knows the products; for one with a fault it asks a warehouse that is gone.

use super::{Method, PATIENT, Routes, Serving};
use crate::plan::Fault;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Router};
use std::time::Duration;
use tokio::time::sleep;

/// What a look-up takes.
const LOOK_UP: Duration = Duration::from_millis(3);

/// What it takes when the catalog is slow: shorter than any time limit here.
const SLOW: Duration = Duration::from_millis(700);

pub(crate) fn routes() -> Routes {
    Router::new().route("/items/{visit}", get(item))
}

async fn item(Extension(serving): Extension<Serving>) -> StatusCode {
    sleep(if serving.visit.fault == Some(Fault::SlowCatalog) { SLOW } else { LOOK_UP }).await;
    match serving.visit.fault {
        Some(Fault::CatalogCrash | Fault::Swallowed) => StatusCode::INTERNAL_SERVER_ERROR,
        Some(Fault::WarehouseDown) => {
            let path = format!("/stock/{}", serving.visit.number);
            serving.call("warehouse", Method::Get, &path, PATIENT).await
        }
        _ => StatusCode::OK,
    }
}
