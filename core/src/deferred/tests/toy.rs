//! A host whose values are numbers, and whose callbacks do as they are told.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::deferred::{
    Chain, Entry, Firing, Host, Outcome, Returned, add, cancel, fire, pause, unpause,
};

/// A value: a number, or nothing.
pub(in crate::deferred) type Value = Option<i32>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::deferred) enum Failure {
    Error(i32),
    Cancelled,
    AlreadyCalled,
    /// Of owned ones: it can never come.
    Dropped,
}

/// What an operation raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::deferred) struct Raised;

/// One thing to do to one of the Deferreds.
#[derive(Clone, Debug)]
pub(in crate::deferred) enum Op {
    Fire(usize, Result<Value, Failure>),
    Add(usize, Rung),
    Cancel(usize),
    Pause(usize),
    /// If it was paused: not so often that it would no more wait for the one it waits for.
    Unpause(usize),
}

/// A rung to add.
#[derive(Clone, Debug)]
pub(in crate::deferred) enum Rung {
    Callback(Script),
    Errback(Script),
    Both(Script),
    Pair(Script, Script),
}

/// What a callback does.
#[derive(Clone, Debug)]
pub(in crate::deferred) struct Script {
    /// For the log.
    pub(in crate::deferred) name: u32,
    /// It does this first.
    pub(in crate::deferred) ops: Vec<Op>,
    pub(in crate::deferred) end: End,
}

/// How a callback ends.
#[derive(Clone, Debug)]
pub(in crate::deferred) enum End {
    Return(Result<Value, Failure>),
    /// What it was given.
    Same,
    Deferred(usize),
    /// Have that one fired, and return this.
    Fire(usize, Result<Value, Failure>, Result<Value, Failure>),
}

/// What a canceller does to its Deferred.
#[derive(Clone, Copy, Debug)]
pub(in crate::deferred) enum Canceller {
    Nothing,
    Fire(Result<Value, Failure>),
    Raise,
}

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::deferred) enum Event {
    Called(u32, Result<Value, Failure>),
    AlreadyCalled(usize),
    Asked(usize),
    Raised(usize),
}

/// One Deferred as it is in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::deferred) struct State {
    pub(in crate::deferred) called: bool,
    pub(in crate::deferred) paused: i32,
    pub(in crate::deferred) result: Held,
    pub(in crate::deferred) entries: usize,
    /// A failure rests there, as far as the host was told.
    pub(in crate::deferred) rests: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::deferred) enum Held {
    Nothing,
    Outcome(Result<Value, Failure>),
    WaitsFor(usize),
}

pub(in crate::deferred) enum Toy {}

pub(in crate::deferred) type Link = Rc<Node>;

pub(in crate::deferred) struct Node {
    pub(in crate::deferred) number: usize,
    chain: RefCell<Chain<Toy>>,
    rests: Cell<bool>,
}

/// The Deferreds of a program, and what has happened to them.
#[derive(Clone)]
pub(in crate::deferred) struct World {
    pub(in crate::deferred) all: Rc<RefCell<Vec<Link>>>,
    pub(in crate::deferred) log: Rc<RefCell<Vec<Event>>>,
}

type Callback = Box<dyn FnOnce(Outcome<Toy>) -> Returned<Toy>>;

impl Host for Toy {
    type Cx<'a> = ();
    type Value = Value;
    type Failure = Failure;
    type Callback = Callback;
    type Canceller = Rc<dyn Fn(&Link) -> Result<(), Raised>>;
    type Raised = Raised;
    type Link = Link;
    type BackLink = Link;

    fn unit((): ()) -> Value {
        None
    }

    fn split((): (), outcome: Outcome<Self>) -> (Outcome<Self>, Outcome<Self>) {
        (outcome, outcome)
    }

    fn dup((): (), link: &Link) -> Link {
        Rc::clone(link)
    }

    fn dup_canceller((): (), canceller: &Self::Canceller) -> Self::Canceller {
        Rc::clone(canceller)
    }

    fn is_same(one: &Link, other: &Link) -> bool {
        Rc::ptr_eq(one, other)
    }

    fn back((): (), link: &Link) -> Link {
        Rc::clone(link)
    }

    fn forth((): (), back: &Link) -> Option<Link> {
        Some(Rc::clone(back))
    }

    fn with<R>((): (), link: &Link, f: impl FnOnce(&mut Chain<Self>) -> R) -> R {
        f(&mut link.chain.borrow_mut())
    }

    fn call((): (), _: &Link, callback: Callback, outcome: Outcome<Self>) -> Returned<Self> {
        callback(outcome)
    }

    fn call_canceller((): (), link: &Link, canceller: &Self::Canceller) -> Result<(), Raised> {
        canceller(link)
    }

    fn fire_cancelled((): (), link: &Link) -> Result<(), Raised> {
        fire::<Self>((), link, Err(Failure::Cancelled)).map_err(|_| Raised)
    }

    fn already_called((): (), _: &Link) -> Failure {
        Failure::AlreadyCalled
    }

    fn failure_rests((): (), link: &Link, rests: bool) {
        link.rests.set(rests);
    }
}

impl World {
    /// With a Deferred for each.
    pub(in crate::deferred) fn new(cancellers: &[Option<Canceller>]) -> Self {
        let world = Self {
            all: Rc::default(),
            log: Rc::default(),
        };
        for (number, canceller) in cancellers.iter().enumerate() {
            let canceller = canceller.map(|canceller| world.canceller(canceller));
            world.all.borrow_mut().push(Rc::new(Node {
                number,
                chain: RefCell::new(Chain::new(canceller)),
                rests: Cell::new(false),
            }));
        }
        world
    }

    fn canceller(&self, canceller: Canceller) -> <Toy as Host>::Canceller {
        let log = Rc::clone(&self.log);
        Rc::new(move |link: &Link| {
            log.borrow_mut().push(Event::Asked(link.number));
            match canceller {
                Canceller::Nothing => Ok(()),
                Canceller::Fire(outcome) => fire::<Toy>((), link, outcome).map_err(|_| Raised),
                Canceller::Raise => Err(Raised),
            }
        })
    }

    pub(in crate::deferred) fn link(&self, number: usize) -> Link {
        Rc::clone(&self.all.borrow()[number])
    }

    fn note(&self, event: Event) {
        self.log.borrow_mut().push(event);
    }

    pub(in crate::deferred) fn run(&self, op: &Op) {
        match op {
            Op::Fire(number, outcome) => {
                if fire::<Toy>((), &self.link(*number), *outcome).is_err() {
                    self.note(Event::AlreadyCalled(*number));
                }
            }
            Op::Add(number, rung) => {
                let entry = match rung.clone() {
                    Rung::Callback(script) => Entry::Callback(self.callback(script)),
                    Rung::Errback(script) => Entry::Errback(self.callback(script)),
                    Rung::Both(script) => Entry::Both(self.callback(script)),
                    Rung::Pair(one, other) => {
                        Entry::Pair(Box::new((self.callback(one), self.callback(other))))
                    }
                };
                add::<Toy>((), &self.link(*number), entry);
            }
            Op::Cancel(number) => {
                if cancel::<Toy>((), &self.link(*number)).is_err() {
                    self.note(Event::Raised(*number));
                }
            }
            Op::Pause(number) => pause::<Toy>((), &self.link(*number)),
            Op::Unpause(number) => {
                let state = self.state(*number);
                if state.paused > i32::from(matches!(state.result, Held::WaitsFor(_))) {
                    unpause::<Toy>((), &self.link(*number));
                }
            }
        }
    }

    fn callback(&self, script: Script) -> Callback {
        let world = self.clone();
        Box::new(move |given| {
            world.note(Event::Called(script.name, given));
            script.ops.iter().for_each(|op| world.run(op));
            match script.end {
                End::Return(outcome) => Returned::Outcome(outcome),
                End::Same => Returned::Outcome(given),
                End::Deferred(number) => Returned::Deferred(world.link(number)),
                End::Fire(number, outcome, result) => Returned::Fire(Box::new(Firing {
                    result,
                    other: world.link(number),
                    outcome,
                })),
            }
        })
    }

    pub(in crate::deferred) fn state(&self, number: usize) -> State {
        let link = self.link(number);
        let chain = link.chain.borrow();
        State {
            called: chain.called(),
            paused: chain.paused(),
            result: match (chain.waiting_on(), chain.outcome()) {
                (Some(inner), _) => Held::WaitsFor(inner.number),
                (None, Some(outcome)) => Held::Outcome(*outcome),
                (None, None) => Held::Nothing,
            },
            entries: chain.entries().count(),
            rests: link.rests.get(),
        }
    }

    pub(in crate::deferred) fn states(&self) -> Vec<State> {
        (0..self.all.borrow().len())
            .map(|number| self.state(number))
            .collect()
    }
}
