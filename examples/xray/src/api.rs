//! The call of X-Ray's API that reads traces back, against a stand-in that checks no signature.

use crate::stored::StoredTrace;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tracelift_envoy::{Client, Request};

/// Trace ids of one `BatchGetTraces` (X-Ray API reference: 5).
const IDS_A_CALL: usize = 5;
/// What tells a stand-in for all of AWS which service and region are meant. Nobody checks the signature.
const SCOPE: &str =
    "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/xray/aws4_request, SignedHeaders=host, Signature=0";

/// X-Ray's API at an address of this machine.
#[derive(Clone, Debug)]
pub struct Api {
    address: SocketAddr,
    client: Client,
}

impl Api {
    /// Nothing is sent before the first call.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, client: Client::new() }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `BatchGetTraces` for ids in X-Ray's form, `1-<8>-<24>`; those that X-Ray does not know are left out.
    pub async fn batch_get_traces(&self, ids: &[String]) -> Result<Vec<StoredTrace>> {
        let mut traces = Vec::new();
        for part in ids.chunks(IDS_A_CALL) {
            let answer = self.call("/Traces", &json!({ "TraceIds": part })).await?;
            for trace in answer["Traces"].as_array().context("BatchGetTraces answers without traces")? {
                traces.push(StoredTrace::read(trace)?);
            }
        }
        Ok(traces)
    }

    async fn call(&self, path: &str, body: &Value) -> Result<Value> {
        let request = Request::post(self.address, path, body.to_string())
            .header("content-type", "application/json")
            .header("authorization", SCOPE);
        let reply = self.client.send(request).await.with_context(|| format!("X-Ray's API at {}", self.address))?;
        ensure!(reply.status == 200, "X-Ray's API answers {} to {path}: {}", reply.status, reply.text());
        Ok(reply.json())
    }
}
