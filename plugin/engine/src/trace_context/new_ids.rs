//! Ids of our own: of every span, and of traces that begin here.

use super::{SpanId, TraceId};

/// Where new ids come from: eight random bytes at a time.
pub trait Ids {
    /// The next random number; zero is fine, it is asked again.
    fn next(&mut self) -> u64;

    /// Whether all that was given came from a random source, as the random flag promises (W3C Trace Context Level 2).
    fn are_random(&self) -> bool;

    /// What new trace-ids begin with, in Unix seconds; `None` for ids that are random throughout. Asked once, and only
    /// where a trace begins.
    fn trace_id_seconds(&mut self) -> Option<u32> {
        None
    }
}

/// Zero is no id; a source that gives nothing else still ends here.
const TRIES: usize = 4;

/// The id of a new span: its first 48 bits are random, and the other 16 follow from them, see [`is_of_a_hop`].
pub fn new_span_id(ids: &mut impl Ids) -> SpanId {
    (0..TRIES).find_map(|_| SpanId::from_u64(checked(ids.next()))).unwrap_or(SpanId::MIN)
}

/// Whether the id may be one of a hop's. An application that copies headers sends it on as it came, and has no span of its own that
/// would be missing; of the ids that SDKs make one in 65,536 looks like it.
pub fn is_of_a_hop(id: SpanId) -> bool {
    id.get() == checked(id.get())
}

/// The number with its last 16 bits made of the others: the high bits of a product depend on all of them.
const fn checked(number: u64) -> u64 {
    let random = number & !0xffff;
    random | random.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48
}

/// The id of a new trace.
pub fn new_trace_id(ids: &mut impl Ids) -> TraceId {
    let seconds = ids.trace_id_seconds();
    let mut id = || {
        let random = u128::from(ids.next()) << 64 | u128::from(ids.next());
        let id = seconds.map_or(random, |seconds| u128::from(seconds) << 96 | random & (u128::MAX >> 32));
        TraceId::from_u128(id)
    };
    (0..TRIES).find_map(|_| id()).unwrap_or(TraceId::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u64);

    impl Ids for Counting {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.0 ^ self.0 >> 29
        }

        fn are_random(&self) -> bool {
            true
        }
    }

    #[test]
    fn ids_of_hops_are_told_from_those_of_others() {
        let mut ids = Counting(1);
        assert!((0..10_000).all(|_| is_of_a_hop(new_span_id(&mut ids))));
        let others = (0..65_536 * 4).filter_map(|_| SpanId::from_u64(ids.next())).filter(|id| is_of_a_hop(*id)).count();
        assert!(others < 20, "{others} of 262,144");
    }

    #[test]
    fn a_source_of_zeros_still_gives_an_id() {
        struct Zeros;
        impl Ids for Zeros {
            fn next(&mut self) -> u64 {
                0
            }
            fn are_random(&self) -> bool {
                false
            }
        }
        assert_eq!(new_span_id(&mut Zeros), SpanId::MIN);
    }
}
