//! A collector of ours that does what the shipped configuration makes a real one do: OTLP in, segments out.

use crate::api::{Api, DOCUMENTS_A_CALL};
use crate::limits::Refusal;
use crate::settings::ExporterSettings;
use crate::translate;
use anyhow::Result;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracelift_envoy::Collector;

/// How long spans wait for company.
const BATCH: Duration = Duration::from_millis(100);

/// Running until dropped.
#[derive(Debug)]
pub struct Rehearsal {
    otlp: SocketAddr,
    problems: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Rehearsal {
    /// Listens for OTLP on a free port of the loopback interface, and writes to that X-Ray.
    pub async fn start(settings: ExporterSettings, api: Api) -> Result<Self> {
        let collector = Collector::start().await?;
        let (otlp, problems) = (collector.address(), Arc::new(Mutex::new(Vec::new())));
        let noted = problems.clone();
        let task = tokio::spawn(async move {
            loop {
                let (documents, refused) = translated(&collector, &settings);
                let mut problems: Vec<String> = refused.iter().map(Refusal::to_string).collect();
                for part in documents.chunks(DOCUMENTS_A_CALL) {
                    problems.extend(api.put(part).await.err().map(|error| format!("{error:#}")));
                }
                noted.lock().unwrap_or_else(PoisonError::into_inner).extend(problems);
                sleep(BATCH).await;
            }
        });
        Ok(Self { otlp, problems, task })
    }

    /// Where it takes OTLP over HTTP.
    pub fn otlp(&self) -> SocketAddr {
        self.otlp
    }

    /// Everything that X-Ray did not take or would not have taken.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn translated(collector: &Collector, settings: &ExporterSettings) -> (Vec<serde_json::Value>, Vec<Refusal>) {
    let (mut documents, mut refused) = (Vec::new(), Vec::new());
    for span in collector.take_spans() {
        match translate::documents(&span, settings) {
            Ok(made) => documents.extend(made),
            Err(refusal) => refused.push(refusal),
        }
    }
    (documents, refused)
}
