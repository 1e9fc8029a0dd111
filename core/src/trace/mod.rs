//! Who sent what, because of which message.
//!
//! A vat that is traced notes its turns and the messages that are sent in each. A message is known by the
//! same name at both ends, so the notes of several vats, on several machines, make one picture: an arrow
//! from where each message was sent to the turn that it caused. Nothing is added to the wire for that: both
//! ends of a session count its messages.
//!
//! Source: Causeway, the message-oriented distributed debugger of E and Waterken (Stanley, Close, Miller:
//! "Causeway: A message-oriented distributed debugger", HPL-2009-78). Its turns and messages are these.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | [`Trace`]: the notes, and what is going on now |
//! | `chrome.rs` | the picture, in Chrome's trace format |

mod chrome;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::sync::lock;

/// The name of a message: the same at both ends.
pub(crate) type Arrow = Arc<str>;

/// What a message is called that has no selector.
pub(crate) const CALL: &str = "(call)";

/// So many letters of a name are noted: a peer may choose it, and its length.
const LONGEST: usize = 80;

fn label(what: &str) -> &str {
    match what.char_indices().nth(LONGEST) {
        Some((end, _)) => &what[..end],
        None => what,
    }
}

/// What happened.
enum Event {
    /// A message was sent.
    Sent {
        at_us: u64,
        /// Whether that was in a turn.
        in_turn: bool,
        what: Box<str>,
        arrow: Arrow,
    },
    /// A turn was taken, perhaps because of a message.
    Turn {
        began_us: u64,
        ended_us: u64,
        what: Box<str>,
        because: Option<Arrow>,
    },
}

/// The notes of one vat: see [`Vat::trace`](crate::vat::Vat::trace).
pub struct Trace {
    name: Arc<str>,
    /// What the names of its own arrows begin with, unlike those of other traces in one picture.
    id: Box<str>,
    has_ended: AtomicBool,
    clock_us: Box<dyn Fn() -> u64 + Send + Sync>,
    notes: Mutex<Notes>,
}

struct Notes {
    events: VecDeque<Event>,
    most: usize,
    lost: u64,
    next: u64,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What this thread does now.
#[derive(Clone, Default)]
enum Now {
    #[default]
    Nothing,
    /// A message has arrived that is not a turn yet.
    Arriving(Arrow),
    Turn {
        what: Arc<str>,
        number: u64,
    },
}

/// True once any vat was traced: all others pay no more than a look at this.
static ON: AtomicBool = AtomicBool::new(false);

pub(crate) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

thread_local! {
    static NOW: RefCell<Now> = const { RefCell::new(Now::Nothing) };
}

/// While this is there, something else is done than before.
#[must_use]
pub(crate) struct Doing {
    before: Now,
    /// The turn that ends with this.
    turn: Option<Taken>,
}

/// A turn that is being taken.
struct Taken {
    trace: Arc<Trace>,
    began_us: u64,
    what: Arc<str>,
    because: Option<Arrow>,
}

impl Doing {
    fn begin(now: Now, turn: Option<Taken>) -> Self {
        Self {
            before: NOW.replace(now),
            turn,
        }
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        NOW.set(std::mem::take(&mut self.before));
        if let Some(taken) = self.turn.take() {
            let ended_us = (taken.trace.clock_us)();
            taken.trace.note(Event::Turn {
                began_us: taken.began_us,
                ended_us,
                what: taken.what.as_ref().into(),
                because: taken.because,
            });
        }
    }
}

/// A turn that is not over with its end: an asynchronous method that waits goes on later.
#[derive(Clone)]
pub struct Suspended {
    trace: Arc<Trace>,
    what: Arc<str>,
    number: u64,
}

impl std::fmt::Debug for Suspended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Suspended").field(&self.what).finish()
    }
}

impl Suspended {
    /// Runs `f` as a further turn, caused by the first.
    pub fn go_on<T>(&self, f: impl FnOnce() -> T) -> T {
        let because = self.trace.wait_arrow(self.number);
        let _turn = self.trace.turn(&self.what, Some(because));
        f()
    }
}

impl Trace {
    /// An empty one. `name` is the vat's in the picture; at most that many events are kept, the newest;
    /// `clock_us` gives the microseconds since 1970, so that the notes of several programs fit together.
    pub fn new(
        name: &str,
        most: usize,
        clock_us: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Arc<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        ON.store(true, Ordering::Relaxed);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            name: name.into(),
            // Two programs may well give one name.
            id: format!("{name}-{:x}-{count}", clock_us()).into(),
            has_ended: AtomicBool::new(false),
            clock_us: Box::new(clock_us),
            notes: Mutex::new(Notes {
                events: VecDeque::new(),
                most,
                lost: 0,
                next: 0,
            }),
        })
    }

    /// How many events were not kept because there were more.
    pub fn lost(&self) -> u64 {
        lock(&self.notes).lost
    }

    /// Notes nothing more, also of what has begun before.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    fn note(&self, event: Event) {
        if self.has_ended.load(Ordering::Relaxed) {
            return;
        }
        let mut notes = lock(&self.notes);
        notes.events.push_back(event);
        if notes.events.len() > notes.most {
            notes.events.pop_front();
            notes.lost += 1;
        }
    }

    fn number(&self) -> u64 {
        let mut notes = lock(&self.notes);
        notes.next += 1;
        notes.next
    }

    /// The name of what a turn waits for.
    fn wait_arrow(&self, turn: u64) -> Arrow {
        format!("{}/{turn}/on", self.id).into()
    }

    /// The turn that is taken now, if it is to go on later.
    pub fn suspended(self: &Arc<Self>) -> Option<Suspended> {
        let (what, number) = NOW.with_borrow(|now| match now {
            Now::Turn { what, number } => Some((Arc::clone(what), *number)),
            _ => None,
        })?;
        // An arrow leads from its first part to all others.
        self.note(Event::Sent {
            at_us: (self.clock_us)(),
            in_turn: true,
            what: "wait".into(),
            arrow: self.wait_arrow(number),
        });
        Some(Suspended {
            trace: Arc::clone(self),
            what,
            number,
        })
    }

    /// A message of that name is sent to another vat.
    pub(crate) fn sent(&self, what: &str, arrow: Arrow) {
        let in_turn = NOW.with_borrow(|now| matches!(now, Now::Turn { .. }));
        self.note(Event::Sent {
            at_us: (self.clock_us)(),
            in_turn,
            what: label(what).into(),
            arrow,
        });
    }

    /// Something is to be done here in a later turn: because of what. That is the message which arrives, or
    /// else one that is sent now.
    pub(crate) fn later(&self, what: &str) -> Arrow {
        let arriving = NOW.with_borrow(|now| match now {
            Now::Arriving(arrow) => Some(Arc::clone(arrow)),
            _ => None,
        });
        arriving.unwrap_or_else(|| {
            let arrow: Arrow = format!("{}/{}", self.id, self.number()).into();
            self.sent(what, Arc::clone(&arrow));
            arrow
        })
    }

    /// A message has arrived; what it leads to is because of it.
    pub(crate) fn arriving(arrow: Arrow) -> Doing {
        Doing::begin(Now::Arriving(arrow), None)
    }

    /// A turn begins, because of that message, or of the one that arrives.
    pub(crate) fn turn(self: &Arc<Self>, what: &str, because: Option<Arrow>) -> Doing {
        let what: Arc<str> = label(what).into();
        let arriving = || {
            NOW.with_borrow(|now| match now {
                Now::Arriving(arrow) => Some(Arc::clone(arrow)),
                _ => None,
            })
        };
        let because = because.or_else(arriving);
        let now = Now::Turn {
            what: Arc::clone(&what),
            number: self.number(),
        };
        let taken = Taken {
            trace: Arc::clone(self),
            began_us: (self.clock_us)(),
            what,
            because,
        };
        Doing::begin(now, Some(taken))
    }
}
