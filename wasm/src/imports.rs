//! What JavaScript supplies (`wasm/js/imports.ts`). None of it runs a user's code but `invoke`,
//! `turn`, `cancelled`, `deferred_call` and those of cancelling.

#[cfg(target_arch = "wasm32")]
mod supplied {
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen(raw_module = "./imports.js")]
    extern "C" {
        /// Delivers the message on the tape to an object; it ends by calling one of the `reply_*`.
        pub(crate) fn invoke(tub: u32, object: u32, tape: usize, len: usize);
        /// An object is referred to no more.
        pub(crate) fn free_object(object: u32);
        /// It is the turn of a function of a user's.
        pub(crate) fn turn(number: u32);
        /// A promise that JavaScript was to settle is needed no more.
        pub(crate) fn cancelled(handle: u32);
        /// Asks for `run_turns`, soon.
        pub(crate) fn schedule_turns();
        /// Connects to a peer, `designator.transport`, by its URLs, a line each: where these texts are, and
        /// how long. Returns the connection's number.
        pub(crate) fn dial(
            tub: u32,
            peer: usize,
            peer_len: usize,
            url: usize,
            url_len: usize,
        ) -> u32;
        /// Microseconds since 1970.
        pub(crate) fn now_us() -> f64;
        /// Asks for `flush`, soon.
        pub(crate) fn wake(connection: u32);
        /// Asks for `collect`, in about a tenth of a second.
        pub(crate) fn idle(connection: u32);

        /// Calls what is on a rung of a Deferred; returns 0 for a value, 1 for a failure, or a
        /// Deferred's number and 2.
        pub(crate) fn deferred_call(link: u32, number: u32, failed: bool) -> u32;
        /// Calls a canceller. True if it threw.
        pub(crate) fn deferred_ask_canceller(link: u32) -> bool;
        /// Fires a Deferred with a `CancelledError`. True if that threw.
        pub(crate) fn deferred_fire_cancelled(link: u32) -> bool;
        /// Cancels a Deferred whose class does that in a way of its own; returns 0 if it does not,
        /// 1 if it is done, 2 if it threw.
        pub(crate) fn deferred_cancel_foreign(link: u32) -> u32;
        /// The outcome of one Deferred is now that of another.
        pub(crate) fn deferred_handed_on(from: u32, to: u32);
        /// A Deferred has come to its end with a failure, or that failure has gone further.
        pub(crate) fn deferred_failure_rests(link: u32, rests: bool);
        /// Sets the alarm of a timeout. True if the clock threw.
        pub(crate) fn deferred_set_alarm(link: u32, number: u32) -> bool;
        /// The alarm of the timeout that is under way has rung.
        pub(crate) fn deferred_rang();
    }
}

/// On other targets there is no JavaScript; this lets the tape be tested there.
#[cfg(not(target_arch = "wasm32"))]
mod supplied {
    pub(crate) fn invoke(_tub: u32, _object: u32, _tape: usize, _len: usize) {}
    pub(crate) fn free_object(_object: u32) {}
    pub(crate) fn turn(_number: u32) {}
    pub(crate) fn cancelled(_handle: u32) {}
    pub(crate) fn schedule_turns() {}
    pub(crate) fn dial(_: u32, _: usize, _: usize, _: usize, _: usize) -> u32 {
        crate::exports::NOTHING
    }
    pub(crate) fn now_us() -> f64 {
        0.0
    }
    pub(crate) fn wake(_connection: u32) {}
    pub(crate) fn idle(_connection: u32) {}
    pub(crate) fn deferred_call(_link: u32, _number: u32, failed: bool) -> u32 {
        u32::from(failed)
    }
    pub(crate) fn deferred_ask_canceller(_link: u32) -> bool {
        false
    }
    pub(crate) fn deferred_fire_cancelled(_link: u32) -> bool {
        false
    }
    pub(crate) fn deferred_cancel_foreign(_link: u32) -> u32 {
        0
    }
    pub(crate) fn deferred_handed_on(_from: u32, _to: u32) {}
    pub(crate) fn deferred_failure_rests(_link: u32, _rests: bool) {}
    pub(crate) fn deferred_set_alarm(_link: u32, _number: u32) -> bool {
        false
    }
    pub(crate) fn deferred_rang() {}
}

pub(crate) use supplied::*;
