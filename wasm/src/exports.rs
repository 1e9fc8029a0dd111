//! What JavaScript calls. The signatures hold numbers only; whatever else there is to say stands
//! on a tape, between `start` and `start + len` of the buffer that [`tape_reserve`] lends.

use std::cell::RefCell;
use std::sync::Arc;

use marotte::captp::Profile;
use marotte::host::{Message, Outcome, Ref, Reply};
use marotte::passable::Builder;
use marotte::promise::{Cell, State};
use marotte::vat::Vat;
use marotte::{Host, Identity, Limits, Location, SturdyRef, Trace};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::host::{Callback, JsFailure, JsHost, JsValue, turns};
use crate::imports;
use crate::state::{self, Tub};
use crate::tape::{BadTape, Out, Tape, tag};

/// Instead of a number: the tape was bad, or what was named is not there.
pub(crate) const NOTHING: u32 = u32::MAX;
/// A buffer above this size is given back after use.
pub(crate) const KEEP: usize = 1 << 20;

thread_local! {
    static WATCHED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    /// Tapes that JavaScript writes.
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// A tape of results, and the text that it points into.
    static RESULT: RefCell<(Vec<u8>, Vec<String>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

pub(crate) fn address(bytes: &[u8]) -> u32 {
    bytes.as_ptr() as usize as u32
}

/// Makes room for `len` bytes in a buffer and says where it is.
pub(crate) fn reserve(buffer: &RefCell<Vec<u8>>, len: u32) -> u32 {
    let mut buffer = buffer.borrow_mut();
    let len = len as usize;
    if buffer.len() < len {
        buffer.resize(len.checked_next_power_of_two().unwrap_or(len), 0);
    }
    address(&buffer)
}

/// Runs `f` on a part of the tape. The tape is out of its place meanwhile, so `f` must not lead to
/// more tape being written.
pub(crate) fn with_input<T>(start: u32, len: u32, f: impl FnOnce(Tape<'_>) -> T) -> T {
    INPUT.with_borrow(|input| {
        let (start, len) = (start as usize, len as usize);
        f(Tape::new(
            input
                .get(start..start.saturating_add(len))
                .unwrap_or_default(),
        ))
    })
}

/// Makes the tape at least `len` bytes long, keeping what is on it; returns its address.
#[wasm_bindgen]
pub fn tape_reserve(len: u32) -> u32 {
    INPUT.with(|input| reserve(input, len))
}

/// Gives back the memory of a large tape. Nothing may be on it.
#[wasm_bindgen]
pub fn tape_shrink() {
    INPUT.with_borrow_mut(|input| {
        input.truncate(KEEP);
        input.shrink_to_fit();
    });
}

/// Writes the result tape and returns its length.
fn result(f: impl FnOnce(&mut Vec<u8>, &mut Vec<String>)) -> u32 {
    RESULT.with_borrow_mut(|(out, texts)| {
        out.clear();
        texts.clear();
        f(out, texts);
        out.len() as u32
    })
}

pub(crate) fn text_result(text: String) -> u32 {
    result(|out, texts| {
        out.str(&text);
        texts.push(text);
    })
}

/// Where the result tape is.
#[wasm_bindgen]
pub fn result_address() -> u32 {
    RESULT.with_borrow(|(out, _)| address(out))
}

// Tubs.

/// 32 secret bytes.
pub(crate) fn seed(tape: &mut Tape<'_>) -> Result<[u8; 32], BadTape> {
    tape.bytes()?.try_into().map_err(|_| BadTape)
}

fn limits(tape: &mut Tape<'_>) -> Result<Limits, BadTape> {
    let mut limits = Limits::default();
    let mut unknown = false;
    tape.numbers(|name, value| {
        // In JavaScript's case.
        let mut snake = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        unknown |= !limits.set(&snake, value as u64);
        // What is read here is read by recursion on the other side.
        limits.max_depth = limits.max_depth.min(1000);
    })?;
    if unknown { Err(BadTape) } else { Ok(limits) }
}

/// A new tub. Tape: the profile's name, 32 secret bytes that its identity is made of, limits by name.
#[wasm_bindgen]
pub fn tub_new(start: u32, len: u32, tracebacks: bool, introduce: bool, believe: bool) -> u32 {
    let parsed = with_input(start, len, |mut tape| {
        let profile = Profile::named(tape.str()?).ok_or(BadTape)?;
        let identity = Arc::new(Identity::from_seed(seed(&mut tape)?));
        Ok::<_, BadTape>((profile, identity, limits(&mut tape)?))
    });
    match parsed {
        Ok((profile, identity, limits)) => state::add_tub(|number| {
            let vat = Vat::new(number);
            vat.show_tracebacks(tracebacks);
            vat.introduce_peers(introduce);
            vat.believe_hellos(believe);
            Tub {
                vat,
                profile,
                limits: Arc::new(limits),
                identity,
                places: RefCell::default(),
                trace: RefCell::default(),
            }
        }),
        Err(BadTape) => NOTHING,
    }
}

/// The names of all profiles, on the result tape.
#[wasm_bindgen]
pub fn profiles() -> u32 {
    text_result(Profile::ALL.map(|profile| profile.name).join(", "))
}

/// The name of a tub, on the result tape.
#[wasm_bindgen]
pub fn tub_name(number: u32) -> u32 {
    let name = state::tub(number).map(|tub| tub.identity.designator());
    text_result(name.unwrap_or_default())
}

/// Notes where a tub can be found from now on. Tape: for each place the transport and the WebSocket's URL; then
/// null.
#[wasm_bindgen]
pub fn tub_listens(number: u32, start: u32, len: u32) {
    let Some(tub) = state::tub(number) else {
        return;
    };
    let places = with_input(start, len, |mut tape| {
        let mut places = Vec::new();
        while let Some(transport) = tape.optional_str()? {
            places.push(Location {
                transport: transport.to_owned(),
                designator: tub.identity.designator(),
                hints: [("url".to_owned(), tape.str()?.to_owned())].into(),
            });
        }
        Ok::<_, BadTape>(places)
    });
    if let Ok(places) = places {
        tub.places.replace(places);
    }
}

/// Lets go of what was registered: the tub is closed.
#[wasm_bindgen]
pub fn tub_close(number: u32) {
    if let Some(tub) = state::tub(number) {
        drop(tub.vat.unregister_everything());
    }
}

/// Forgets a tub whose connections have been closed.
#[wasm_bindgen]
pub fn tub_drop(number: u32) {
    state::drop_tub(number);
}

/// Notes from now on who sends what, at most that many events. Tape: the tub's name in the picture.
#[wasm_bindgen]
pub fn trace_begin(number: u32, most: u32, start: u32, len: u32) {
    let name = with_input(start, len, |mut tape| tape.str().map(str::to_owned));
    if let (Some(tub), Ok(name)) = (state::tub(number), name) {
        let trace = Trace::new(&name, most as usize, || imports::now_us() as u64);
        tub.vat.trace(Some(Arc::clone(&trace)));
        tub.trace.replace(Some(trace));
    }
}

/// Notes nothing more.
#[wasm_bindgen]
pub fn trace_end(number: u32) {
    if let Some(tub) = state::tub(number) {
        tub.vat.trace(None);
    }
}

/// What was noted, in Chrome's trace format, on the result tape.
#[wasm_bindgen]
pub fn trace_json(number: u32) -> u32 {
    let trace = state::tub(number).and_then(|tub| tub.trace.borrow().clone());
    text_result(
        trace
            .map(|trace| trace.to_chrome_json())
            .unwrap_or_default(),
    )
}

/// Counters by name, on the result tape.
#[wasm_bindgen]
pub fn tub_stats(number: u32) -> u32 {
    let Some(tub) = state::tub(number) else {
        return 0;
    };
    result(|out, _| {
        out.tag(tag::DICT);
        for (name, value) in tub.vat.stats().entries() {
            out.tag(tag::KEY);
            out.str(name);
            out.float(tag::FLOAT, value as f64);
        }
        out.tag(tag::END_DICT);
    })
}

/// Registers an object and puts its URI on the result tape. Tape: the swiss number, the object.
#[wasm_bindgen]
pub fn register(number: u32, start: u32, len: u32) -> u32 {
    let Some(tub) = state::tub(number) else {
        return 0;
    };
    let parsed = with_input(start, len, |mut tape| {
        Ok::<_, BadTape>((tape.bytes()?.to_vec(), state::object(tape.object()?)))
    });
    let Ok((swiss, object)) = parsed else {
        return 0;
    };
    let sturdy = SturdyRef {
        location: tub.location(None),
        swiss: swiss.clone(),
    };
    drop(tub.vat.register(&swiss, object));
    text_result(sturdy.to_string())
}

/// The URI of a sturdy reference that has come, on the result tape. Tape: its record.
#[wasm_bindgen]
pub fn sturdy_uri(start: u32, len: u32) {
    let uri = with_input(start, len, |mut tape| {
        let sturdy = SturdyRef::from_record(tape.bytes()?);
        Ok::<_, BadTape>(sturdy.map(|sturdy| sturdy.to_string()))
    });
    text_result(uri.ok().flatten().unwrap_or_default());
}

/// Breaks what peers have or will have of an object. False if that was done before.
#[wasm_bindgen]
pub fn revoke(number: u32, slot: u32) -> bool {
    state::tub(number).is_some_and(|tub| tub.vat.revoke((), &state::object(slot)))
}

/// Takes a registration back. Tape: the URI. True if there was one.
#[wasm_bindgen]
pub fn unregister(number: u32, start: u32, len: u32) -> bool {
    let Some(tub) = state::tub(number) else {
        return false;
    };
    let sturdy = with_input(start, len, |mut tape| {
        tape.str().map(str::parse::<SturdyRef>)
    });
    match sturdy {
        Ok(Ok(sturdy)) => tub.vat.unregister(&sturdy.swiss).is_some(),
        _ => false,
    }
}

/// Takes a URI apart. Tape: the URI. Result tape: an error, or the peer, the swiss number, the
/// transport, the designator and the hints.
#[wasm_bindgen]
pub fn parse_uri(start: u32, len: u32) -> u32 {
    let parsed = with_input(start, len, |mut tape| {
        tape.str().map(str::parse::<SturdyRef>)
    });
    result(|out, texts| {
        let sturdy = match parsed {
            Ok(Ok(sturdy)) => sturdy,
            Ok(Err(error)) => {
                let text = error.to_string();
                out.tag(tag::ERROR);
                out.str(&text);
                texts.push(text);
                return;
            }
            Err(BadTape) => return out.tag(tag::NULL),
        };
        let Location {
            transport,
            designator,
            hints,
        } = sturdy.location;
        // Base64 is not text to begin with, but latin-1 bytes would need a list of their own.
        let swiss: String = sturdy.swiss.iter().map(|byte| char::from(*byte)).collect();
        for text in [transport, designator, swiss] {
            out.str(&text);
            texts.push(text);
        }
        out.tag(tag::DICT);
        for (name, value) in hints {
            out.tag(tag::KEY);
            out.str(&name);
            out.str(&value);
            texts.extend([name, value]);
        }
        out.tag(tag::END_DICT);
    })
}

/// The promise for what the peer registered. Tape: the swiss number. (Not `fetch`: the generated
/// module needs the platform's function of that name.)
#[wasm_bindgen]
pub fn fetch_registered(number: u32, connection: u32, start: u32, len: u32) -> u32 {
    let (Some(tub), Some(connection)) = (state::tub(number), state::connection(connection)) else {
        return NOTHING;
    };
    let Ok(swiss) = with_input(start, len, |mut tape| tape.bytes().map(<[u8]>::to_vec)) else {
        return NOTHING;
    };
    state::track(&tub.vat, &connection.fetch((), &tub.vat, &swiss))
}

// Messages.

/// Sends the message on the tape: a selector or null, and arguments.
fn send(
    vat: &Arc<Vat<JsHost>>,
    target: &Ref<JsHost>,
    wants_result: bool,
    start: u32,
    len: u32,
) -> u32 {
    with_input(start, len, |mut tape| {
        let Ok(selector) = tape.optional_str() else {
            return NOTHING;
        };
        state::with_builder(|builder| {
            if tape.build(builder).is_err() {
                return NOTHING;
            }
            let message = Message::new(selector, builder.view());
            if wants_result {
                let result = vat.call((), target, message);
                return state::track(vat, &result);
            }
            vat.send((), target, message, None);
            0
        })
    })
}

/// Sends a message to what a handle stands for; returns the handle of the promise for its result.
#[wasm_bindgen]
pub fn call(handle: u32, start: u32, len: u32) -> u32 {
    let Some((vat, target)) = state::target(handle) else {
        return NOTHING;
    };
    send(&vat, &target, true, start, len)
}

/// Sends a message whose result nobody wants.
#[wasm_bindgen]
pub fn call_only(handle: u32, start: u32, len: u32) -> u32 {
    let Some((vat, target)) = state::target(handle) else {
        return NOTHING;
    };
    send(&vat, &target, false, start, len)
}

/// Sends a message to a local object, which it reaches in a later turn.
#[wasm_bindgen]
pub fn call_object(number: u32, slot: u32, wants_result: bool, start: u32, len: u32) -> u32 {
    let target = Ref::Local(state::object(slot));
    let Some(tub) = state::tub(number) else {
        return NOTHING;
    };
    send(&tub.vat, &target, wants_result, start, len)
}

/// Lets go of a far reference.
#[wasm_bindgen]
pub fn drop_handle(handle: u32) {
    state::drop_handle(handle);
}

/// A promise that JavaScript will settle.
#[wasm_bindgen]
pub fn promise_new(number: u32) -> u32 {
    match state::tub(number) {
        Some(tub) => state::hold(&tub.vat, JsHost::new_promise((), &tub.vat, Cell::pending())),
        None => NOTHING,
    }
}

/// Fulfils a promise of [`promise_new`], whose handle ends. Tape: the value.
#[wasm_bindgen]
pub fn promise_resolve(handle: u32, start: u32, len: u32) {
    settle(handle, || match with_value(start, len) {
        Ok(value) => Outcome::Fulfilled(value),
        Err(BadTape) => Outcome::Broken(bad_tape()),
    });
}

/// Resolves a promise of [`promise_new`] to another one; the handle lives on. Tape: that promise.
#[wasm_bindgen]
pub fn promise_follow(handle: u32, start: u32, len: u32) {
    if let (Some((vat, Ref::Promise(promise))), Ok(other)) =
        (state::target(handle), with_value(start, len))
    {
        vat.settle((), promise, Outcome::Fulfilled(other));
    }
}

/// Breaks a promise of [`promise_new`], whose handle ends. Tape: a failure.
#[wasm_bindgen]
pub fn promise_break(handle: u32, start: u32, len: u32) {
    settle(handle, || Outcome::Broken(failure(start, len)));
}

fn settle(handle: u32, outcome: impl FnOnce() -> Outcome<JsHost>) {
    if let Some((vat, promise)) = state::take_promise(handle) {
        vat.settle((), promise, outcome());
    }
}

fn with_value(start: u32, len: u32) -> Result<JsValue, BadTape> {
    INPUT.with_borrow(|input| {
        let (start, len) = (start as usize, len as usize);
        state::value(
            input
                .get(start..start.saturating_add(len))
                .unwrap_or_default(),
        )
    })
}

fn failure(start: u32, len: u32) -> JsFailure {
    with_input(start, len, |mut tape| tape.failure()).unwrap_or_else(|BadTape| bad_tape())
}

fn bad_tape() -> JsFailure {
    JsFailure::Misuse("a value could not be read".into())
}

/// The result of the invocation under way. Tape: the value.
#[wasm_bindgen]
pub fn reply(start: u32, len: u32) {
    state::set_reply(match with_value(start, len) {
        Ok(value) => Reply::Value(value),
        Err(BadTape) => Reply::Failure(bad_tape()),
    });
}

/// The failure of the invocation under way. Tape: a failure.
#[wasm_bindgen]
pub fn reply_failure(start: u32, len: u32) {
    state::set_reply(Reply::Failure(failure(start, len)));
}

// Cancelling, parts and maps.

/// Breaks a promise, and tells whoever works on it. Tape: a failure.
#[wasm_bindgen]
pub fn cancel(handle: u32, start: u32, len: u32) {
    if let Some((vat, Ref::Promise(promise))) = state::target(handle) {
        vat.cancel((), &promise, failure(start, len));
    }
}

/// Has JavaScript told if a promise of [`promise_new`] is cancelled.
#[wasm_bindgen]
pub fn on_cancel(handle: u32) {
    if let Some((vat, Ref::Promise(promise))) = state::target(handle) {
        vat.on_cancel((), &promise, Callback::Cancelled(handle));
    }
}

/// Begins to record what is sent; returns the handle of the promise that stands for the item.
#[wasm_bindgen]
pub fn map_begin(number: u32) -> u32 {
    state::tub(number).map_or(NOTHING, |tub| state::record(&tub.vat))
}

/// Ends recording, and sends the program to what a handle stands for. Tape: the function's result.
/// Returns the handle of the promise for the list.
#[wasm_bindgen]
pub fn map_finish(handle: u32, start: u32, len: u32) -> u32 {
    let Some(recording) = state::take_recording() else {
        return NOTHING;
    };
    let Some((vat, target)) = state::target(handle) else {
        recording.abandon(());
        return NOTHING;
    };
    let sent = with_input(start, len, |mut tape| {
        state::with_builder(|builder| {
            tape.build(builder)
                .map(|()| recording.finish((), &target, builder.view()))
        })
    });
    let promise = match sent {
        Ok(Ok(promise)) => promise,
        Ok(Err(error)) => {
            let failure = JsHost::failure((), error);
            JsHost::new_promise((), &vat, Cell::settled(Outcome::Broken(failure)))
        }
        Err(BadTape) => return NOTHING,
    };
    state::track(&vat, &promise)
}

/// Ends recording, because the function has failed.
#[wasm_bindgen]
pub fn map_abandon() {
    if let Some(recording) = state::take_recording() {
        recording.abandon(());
    }
}

// The states of references.

/// The state of what a handle stands for, on the result tape.
#[wasm_bindgen]
pub fn state_of(handle: u32) -> u32 {
    let state = state::reference(handle).map(|reference| State::of((), &reference));
    text_result(state.map_or("", State::name).to_owned())
}

/// Has JavaScript told of the end of the connection that a far reference came over: as the break of a
/// promise, whose handle is returned. [`watched`] is what to take it back with.
#[wasm_bindgen]
pub fn watch(handle: u32) -> u32 {
    match state::watch(handle) {
        Some((told, number)) => {
            WATCHED.set(number);
            told
        }
        None => NOTHING,
    }
}

/// The number of the last [`watch`].
#[wasm_bindgen]
pub fn watched() -> f64 {
    // Far below 2⁵³.
    WATCHED.get() as f64
}

/// Takes a [`watch`] back.
#[wasm_bindgen]
pub fn unwatch(handle: u32, told: u32, number: f64) {
    state::unwatch(handle, told, number as u64);
}

// Turns and events.

/// Runs the function of that number in a turn of its own, after those that wait.
#[wasm_bindgen]
pub fn eventually(tub: u32, number: u32) {
    if let Some(tub) = state::tub(tub) {
        let nothing = JsValue::new(Builder::default().finish());
        tub.vat
            .later(Callback::Turn(number), Outcome::Fulfilled(nothing));
    }
}

/// True if turns wait.
#[wasm_bindgen]
pub fn has_turns() -> bool {
    turns().has_turns()
}

/// Runs up to `budget` turns. More are asked for by `schedule_turns`.
#[wasm_bindgen]
pub fn run_turns(budget: u32) {
    turns().run((), budget as usize);
}

/// How long the tape of events is: for each promise that settled its handle as `u32`, 0 or 1 for
/// fulfilled or broken, and a value or a failure. 2 is for fulfilled, but the handle lives on:
/// messages have to go through it, behind those that have not arrived yet.
#[wasm_bindgen]
pub fn events_length() -> u32 {
    state::with_events(|events| events.tape.len() as u32)
}

/// Where the tape of events is.
#[wasm_bindgen]
pub fn events_address() -> u32 {
    state::with_events(|events| address(&events.tape))
}

/// Forgets the events, which have been read.
#[wasm_bindgen]
pub fn events_clear() {
    state::clear_events();
}
