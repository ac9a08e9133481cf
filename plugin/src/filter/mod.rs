//! The filter as Envoy runs it: the only room that knows proxy-wasm, compiled for wasm alone. Callbacks record, the tick
//! exports, and every failure is a counter and `Continue`.

mod abi;
mod answer;
mod attributes;
mod budget;
mod callbacks;
mod central;
mod entropy;
mod facts;
mod headers;
mod host;
mod landing;
mod metrics;
mod node;
mod pairs;
mod recall;
mod request;
mod root;
mod signal;
mod signs;
mod verdicts;
mod vm;
