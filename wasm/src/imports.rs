//! What JavaScript supplies (`wasm/js/imports.ts`). None of it runs a user's code but `invoke`.

#[cfg(target_arch = "wasm32")]
mod supplied {
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen(raw_module = "./imports.js")]
    extern "C" {
        /// Delivers the message on the tape to an object; it ends by calling one of the `reply_*`.
        pub(crate) fn invoke(tub: u32, object: u32, tape: usize, len: usize);
        /// An object is referred to no more.
        pub(crate) fn free_object(object: u32);
        /// Asks for `run_turns`, soon.
        pub(crate) fn schedule_turns(tub: u32);
        /// Asks for `flush`, soon.
        pub(crate) fn wake(connection: u32);
        /// Asks for `collect`, in about a tenth of a second.
        pub(crate) fn idle(connection: u32);
    }
}

/// On other targets there is no JavaScript; this lets the tape be tested there.
#[cfg(not(target_arch = "wasm32"))]
mod supplied {
    pub(crate) fn invoke(_tub: u32, _object: u32, _tape: usize, _len: usize) {}
    pub(crate) fn free_object(_object: u32) {}
    pub(crate) fn schedule_turns(_tub: u32) {}
    pub(crate) fn wake(_connection: u32) {}
    pub(crate) fn idle(_connection: u32) {}
}

pub(crate) use supplied::*;
