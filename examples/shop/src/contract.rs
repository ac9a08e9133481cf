//! What the filter of this working tree does of the application contract (`docs/applications.md`). The demo shows and demands no
//! more; each part is switched on by its line here.

/// Filters take an application's word for an upgrade (`x-tracelift-signal`). Until then nobody above an application learns of an
/// exception that it swallowed, so none is planned.
pub const READS_APPLICATIONS: bool = true;

/// Filters answer the list of upgrades (`GET /.well-known/tracelift/upgrades`). Until then the application is not told of
/// failures elsewhere: of traces that a recall completes its own spans are missing. It does not ask, either: a filter without
/// the list would count the question as a request.
pub const LISTS_UPGRADES: bool = false;

/// Filters hang a call whose caller's span was never recorded below their own inbound span (late parenting). Until then the
/// parent of such a call is in no trace.
pub const PARENTS_LATE: bool = false;
