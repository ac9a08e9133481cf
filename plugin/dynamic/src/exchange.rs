//! The engine's door for one request, while a hook for it runs.

use std::cell::{Cell, RefCell};

use tracelift::door::{Attribute, Exchange, HeaderView, Refused, Side, Value, Wanted};
use tracelift::http::pairs;

use super::abi::{self, EnvoyFilter, Map, ModuleBuffer, ModuleHeader};
use super::attributes;
use super::door::Door;
use super::headers::{self, View};
use super::worker::Here;
use super::writes::{self, Change};

/// "Not found" of proxy-wasm.
const NO_SUCH_MAP: Refused = Refused(1);

/// The answer to a request, given by the filter itself.
pub struct Reply {
    status: u32,
    details: String,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Reply {
    /// Sends it. Envoy may run all other hooks of the stream in the meantime, and then there is no stream.
    pub fn send(&self, filter: EnvoyFilter) {
        let header = |(key, value): &(Vec<u8>, Vec<u8>)| ModuleHeader {
            key: ModuleBuffer::of(key),
            value: ModuleBuffer::of(value),
        };
        let headers: Vec<_> = self.headers.iter().map(header).collect();
        // SAFETY: in a hook of this stream, with no lock held and no view of its headers; Envoy reads all of it during the call.
        unsafe {
            abi::envoy_dynamic_module_callback_http_send_response(
                filter,
                self.status,
                headers.as_ptr(),
                headers.len(),
                ModuleBuffer::of(&[]),
                ModuleBuffer::of(self.details.as_bytes()),
            );
        }
    }
}

/// One request.
pub struct Stream<'a> {
    filter: EnvoyFilter,
    id: u32,
    here: &'a Here,
    door: Door<'a>,
    /// Headers are being read: changes wait.
    looking: Cell<bool>,
    reply: RefCell<Option<Reply>>,
}

impl<'a> Stream<'a> {
    /// For one hook.
    pub fn new(filter: EnvoyFilter, id: u32, here: &'a Here) -> Self {
        Self { filter, id, here, door: Door::stream(None), looking: Cell::new(false), reply: RefCell::new(None) }
    }

    /// What is to be sent when the hook has let go of everything.
    pub fn into_reply(self) -> Option<Reply> {
        self.reply.into_inner()
    }

    fn change(&self, side: Side, change: Change, name: &str, value: &[u8]) -> Result<(), Refused> {
        let map = map(side);
        if self.looking.get() {
            let Ok(mut writes) = self.here.writes.try_borrow_mut() else { return Err(NO_SUCH_MAP) };
            writes.push(map, change, name, value);
            return Ok(());
        }
        writes::apply(self.filter, map, change, name.as_bytes(), value).then_some(()).ok_or(NO_SUCH_MAP)
    }
}

fn map(side: Side) -> Map {
    match side {
        Side::Request => Map::Request,
        Side::Response => Map::Response,
        Side::Trailers => Map::ResponseTrailers,
    }
}

impl<'s> Exchange for Stream<'s> {
    type Host = Door<'s>;
    type Headers<'a> = View<'a>;

    fn host(&self) -> &Door<'s> {
        &self.door
    }

    fn headers<T>(&self, side: Side, work: impl FnOnce(Result<View<'_>, Refused>) -> T) -> T {
        if self.looking.get() {
            return headers::with(self.filter, map(side), work);
        }
        let result = headers::with(self.filter, map(side), |view| {
            self.looking.set(view.is_ok());
            work(view)
        });
        self.looking.set(false);
        if let Ok(mut writes) = self.here.writes.try_borrow_mut() {
            writes.apply(self.filter);
        }
        result
    }

    fn header<T>(&self, side: Side, name: &str, read: impl FnOnce(Option<&[u8]>) -> T) -> T {
        headers::with(self.filter, map(side), |view| read(view.unwrap_or(View::NONE).first(name)))
    }

    fn copied(&self, side: Side) -> Vec<u8> {
        headers::with(self.filter, map(side), |view| view.map(|view| pairs::encode(&view.all())).unwrap_or_default())
    }

    fn add(&self, side: Side, name: &str, value: &[u8]) -> Result<(), Refused> {
        self.change(side, Change::Add, name, value)
    }

    fn replace(&self, side: Side, name: &str, value: &[u8]) -> Result<(), Refused> {
        self.change(side, Change::Replace, name, value)
    }

    fn remove(&self, side: Side, name: &str) -> Result<(), Refused> {
        self.change(side, Change::Remove, name, &[])
    }

    fn number(&self, attribute: Attribute) -> Option<i64> {
        attributes::number(self.filter, attribute).or_else(|| match attribute {
            Attribute::StartTime => i64::try_from(self.here.started(self.id)?).ok(),
            _ => None,
        })
    }

    fn text<T>(&self, attribute: Attribute, read: impl FnOnce(&[u8]) -> T) -> T {
        attributes::text(self.filter, attribute, read)
    }

    fn attributes(&self, _root: u32, wanted: Wanted, mut take: impl FnMut(Attribute, Value<'_>)) -> bool {
        attributes::together(wanted, |attribute| self.number(attribute), self.filter, &mut take);
        true
    }

    fn answer(&self, status: u32, details: &str, headers: &[(&[u8], &[u8])]) -> Result<(), Refused> {
        let Ok(mut reply) = self.reply.try_borrow_mut() else { return Err(NO_SUCH_MAP) };
        let headers = headers.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        *reply = Some(Reply { status, details: details.to_owned(), headers });
        Ok(())
    }

    fn note(&self, key: &str, value: &str) {
        // SAFETY: the stream lives while its hook runs, and Envoy reads both during the call.
        let _ = unsafe {
            abi::envoy_dynamic_module_callback_http_set_filter_state_bytes(
                self.filter,
                ModuleBuffer::of(key.as_bytes()),
                ModuleBuffer::of(value.as_bytes()),
            )
        }; // Without filter state the traceparent is still in the log.
    }
}
