//! What a recorded stream looks like as a span: conventions, names, status, redaction, resource.
