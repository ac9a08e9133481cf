//! A sidecar that cannot be asked: the application serves on, and says so once an hour.

use crate::application::FLASK;
use crate::scene::{Contract, Setup};
use axum::Router;
use axum::http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use tracelift_envoy::ports::{self, RefusingPort};

/// After some failures it asks once a minute.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_sidecar_that_is_absent_then_old_then_silent_costs_one_line_and_no_request() {
    let nothing_listens = RefusingPort::any().unwrap();
    let at = nothing_listens.address();
    let scene = Setup::new(FLASK, Contract::Signals)
        .variable("TRACELIFT_SIDECAR", format!("http://{at}"))
        .variable("TRACELIFT_APPLICATION_TOKEN", "a-token")
        .start()
        .await;
    scene.wait_until("it says that there is no answer", || !scene.application.lines_of_package().is_empty()).await;
    let serves_on = async || {
        let (_, reply) = scene.get("/reviews/7").await;
        assert_eq!(reply.status, 200);
        let (failed, reply) = scene.get_with("error", "/reviews/7").await;
        assert_eq!(reply.status, 500);
        scene.whole(&failed, 3, &["SERVER", "load reviews", "read cache"]).await;
    };
    serves_on().await;

    // One without the list takes the question for a request.
    drop(nothing_listens);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let old = Router::new().fallback(move || async move {
        counted.fetch_add(1, Ordering::Relaxed);
        StatusCode::NOT_FOUND
    });
    let listener = ports::listen(at).unwrap();
    let old = tokio::spawn(async move { axum::serve(listener, old).await.expect("a listener") });
    scene.wait_until("the old one is asked", || 0 < asked.load(Ordering::Relaxed)).await;
    serves_on().await;
    old.abort();
    assert!(old.await.unwrap_err().is_cancelled());

    // It takes connections, and says nothing.
    let silent = ports::listen(at).unwrap();
    let question = timeout(PATIENCE, silent.accept()).await.expect("the silent one is asked").unwrap();
    serves_on().await;
    drop(question);
    let lines = scene.application.lines_of_package();
    assert!(lines.len() == 1 && lines[0].contains("the sidecar does not answer"), "{lines:?}");
    scene.settle(9).await;
}
