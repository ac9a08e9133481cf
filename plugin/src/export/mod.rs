//! From a span to bytes on their way to a collector: queue, batch, retry, OTLP. Never reads the policy.
