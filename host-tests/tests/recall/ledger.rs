//! What an exported span says of the calls behind it.

use crate::mesh::{Mesh, calls, recalling, service, unsampled};
use tracelift_host::otlp::SpanKind;

#[test]
fn a_call_that_was_recalled_or_told_by_itself_is_answered() {
    let mut mesh = Mesh::of(["web", "cart", "payment"], &recalling());
    mesh.serve("web", &unsampled(), &mut |mesh, context| {
        mesh.simple_call("web", "cart", context, 200);
        mesh.simple_call("web", "payment", context, 500)
    });
    let spans = mesh.spans();
    let clients: Vec<_> =
        spans.iter().filter(|span| service(span) == "web" && span.kind() == SpanKind::Client).map(calls).collect();
    assert_eq!(clients, [[1, 1, 0, 0]; 2]);
}
