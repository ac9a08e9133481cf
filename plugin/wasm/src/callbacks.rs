//! The callbacks that the host finds by name. Each only translates: numbers in, the VM's answer out. One that is not
//! exported is not called, so there are no request bodies, no request trailers and no data of connections here, and no deletion, which
//! every stream would pay for: a stream is over when it was logged, a root when it needs no more time.

use tracelift::request::Answered;
use tracelift::shared::Arrival;

use super::door::{Stream, Vm};
use super::vm;

/// `proxy_action_t`: a tracing filter lets everything go on,
const CONTINUE: u32 = 0;
/// but for a request that it answered itself.
const PAUSE: u32 = 1;

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    vm::with((), |worker| worker.context_created(context, parent));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _configuration_size: usize) -> u32 {
    vm::announce();
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, configuration_size: usize) -> u32 {
    u32::from(vm::with(false, |worker| worker.configure(&Vm, root, vm::setup(configuration_size))))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    vm::with((), |worker| worker.tick(&Vm, root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _headers: u32, _end_of_stream: u32) -> u32 {
    if vm::with(false, |worker| worker.request_headers(&Stream, context)) { PAUSE } else { CONTINUE }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _headers: u32, end_of_stream: u32) -> u32 {
    vm::with((), |worker| worker.answered(&Stream, context, Answered::Head { end_of_stream: end_of_stream != 0 }));
    CONTINUE
}

/// Says only whether the answer reached its end: cheaper than asking for the response flags of every stream.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, _size: usize, end_of_stream: u32) -> u32 {
    if end_of_stream != 0 {
        vm::with((), |worker| worker.response_body_ended(context));
    }
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, _trailers: u32) -> u32 {
    vm::with((), |worker| worker.answered(&Stream, context, Answered::Trailers));
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(_root: u32, token: u32, headers: u32, body_size: usize, _trailers: u32) {
    let arrival = Arrival { token, has_headers: headers != 0, body_size };
    vm::with((), |worker| worker.call_answered(&Vm, arrival));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(context: u32) {
    vm::with((), |worker| worker.log(&Stream, context));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> u32 {
    u32::from(vm::with(true, |worker| worker.done(&Vm, context)))
}
