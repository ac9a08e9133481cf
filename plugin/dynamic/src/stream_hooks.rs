//! Hooks of streams, each on the worker that serves it. Each only translates: Envoy's pointers in, the engine's answer out.
//!
//! What Envoy keeps for us is no pointer but two numbers, the configuration's and the stream's, so that a stream costs no memory
//! and a late hook finds nothing.

use tracelift::request::Answered;

use super::abi::{EnvoyFilter, ModuleConfig, ModuleFilter};
use super::config::{self, Config};
use super::exchange::Stream;
use super::guard::hook;
use super::{abi, worker};

/// `..._headers_status`: a tracing filter lets everything continue,
const CONTINUE: u32 = 0;
/// but for a request that it answered itself.
const STOP: u32 = 1;

/// What stands for a stream that is not traced: hooks find no such stream.
const NOT_TRACED: ModuleFilter = std::ptr::without_provenance(1 << 32);

fn pack(root: u32, stream: u32) -> ModuleFilter {
    std::ptr::without_provenance((root as usize) << 32 | stream as usize)
}

fn stream_of(filter: ModuleFilter) -> u32 {
    filter.addr() as u32
}

fn root_of(filter: ModuleFilter) -> u32 {
    (filter.addr() >> 32) as u32
}

/// # Safety
///
/// As Envoy calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(
    config: ModuleConfig,
    _filter: EnvoyFilter,
) -> ModuleFilter {
    hook(NOT_TRACED, || {
        // SAFETY: it lives while it has streams.
        let config = unsafe { Config::borrow(config) };
        pack(config.root, worker::begin(config))
    })
}

/// Runs a hook of a stream; `otherwise` where there is nothing to do, or it panicked, which ends the stream's tracing.
fn on<T: Copy>(
    envoy: EnvoyFilter,
    ours: ModuleFilter,
    otherwise: T,
    work: impl FnOnce(&mut tracelift::process::Worker, &Stream<'_>, u32) -> T,
) -> T {
    let stream = stream_of(ours);
    let mut finished = false;
    let (result, reply) = hook((otherwise, None), || {
        let result = worker::with((otherwise, None), |here, worker| {
            let exchange = Stream::new(envoy, stream, here);
            let result = work(worker, &exchange, stream);
            (result, exchange.into_reply())
        });
        finished = true;
        result
    });
    if !finished {
        hook((), || {
            worker::with((), |here, worker| {
                if let Ok(mut writes) = here.writes.try_borrow_mut() {
                    writes.clear();
                }
                worker.forget_stream(stream);
            })
        });
    }
    if let Some(reply) = reply {
        hook((), || reply.send(envoy));
    }
    result
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    envoy: EnvoyFilter,
    ours: ModuleFilter,
    _end_of_stream: bool,
) -> u32 {
    if on(envoy, ours, false, |worker, exchange, stream| worker.request_headers(exchange, stream)) {
        STOP
    } else {
        CONTINUE
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    envoy: EnvoyFilter,
    ours: ModuleFilter,
    end_of_stream: bool,
) -> u32 {
    on(envoy, ours, (), |worker, exchange, stream| worker.answered(exchange, stream, Answered::Head { end_of_stream }));
    CONTINUE
}

/// Says only whether the answer reached its end.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    envoy: EnvoyFilter,
    ours: ModuleFilter,
    end_of_stream: bool,
) -> u32 {
    if end_of_stream {
        on(envoy, ours, (), |worker, _, stream| worker.response_body_ended(stream));
    }
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(envoy: EnvoyFilter, ours: ModuleFilter) -> u32 {
    on(envoy, ours, (), |worker, exchange, stream| worker.answered(exchange, stream, Answered::Trailers));
    CONTINUE
}

/// The end of a stream, before its access log.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(envoy: EnvoyFilter, ours: ModuleFilter) {
    on(envoy, ours, (), |worker, exchange, stream| worker.log(exchange, stream));
    if abi::newer().increment_counter.is_none() {
        hook((), || {
            if let Some(config) = config::find(root_of(ours)) {
                config.metrics.flush_by(envoy);
            }
        });
    }
}

/// Nothing of the stream is left behind, also where it was never complete.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(ours: ModuleFilter) {
    hook((), || {
        worker::with((), |here, worker| {
            here.forget(stream_of(ours));
            worker.forget_stream(stream_of(ours));
        });
    });
}
