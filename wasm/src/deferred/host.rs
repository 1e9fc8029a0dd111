//! JavaScript as a host of Deferreds.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

use marotte::deferred::{self, Chain, Outcome, Returned, Timed};

use crate::imports;

/// JavaScript's Deferreds. A Deferred has one outcome at a time and JavaScript knows which, so here
/// it is only a value or a failure.
pub(crate) enum JsDeferreds {}

/// JavaScript threw, and holds what.
pub(crate) struct Threw;

thread_local! {
    /// Never dropped, because a table that may be is looked after whenever it is touched.
    static CHAINS: RefCell<ManuallyDrop<Vec<Chain<JsDeferreds>>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

/// Puts a ladder under a number that JavaScript chose; what was there has ended.
pub(super) fn put(link: u32, chain: Chain<JsDeferreds>) {
    JsDeferreds::with_chain(link, |place| *place = chain);
}

impl JsDeferreds {
    #[inline(always)]
    pub(super) fn with_chain<R>(link: u32, f: impl FnOnce(&mut Chain<Self>) -> R) -> R {
        CHAINS.with_borrow_mut(|chains| {
            let index = link as usize;
            if index >= chains.len() {
                chains.resize_with(index + 1, || Chain::new(None));
            }
            f(&mut chains[index])
        })
    }
}

/// What `deferred_call` answers: a value.
const VALUE: u32 = 0;
/// What `deferred_call` answers: a failure. Above that: another Deferred.
const FAILURE: u32 = 1;

/// What `deferred_cancel_foreign` answers: the usual is to be done. Above that: it threw.
const USUAL: u32 = 0;
/// What `deferred_cancel_foreign` answers: done.
const DONE: u32 = 1;

fn threw(threw: bool) -> Result<(), Threw> {
    if threw { Err(Threw) } else { Ok(()) }
}

impl deferred::Host for JsDeferreds {
    type Cx<'a> = ();
    type Value = ();
    type Failure = ();
    /// The number of a rung, from the first that the Deferred had since it last rested.
    type Callback = u32;
    /// There is one.
    type Canceller = ();
    type Raised = Threw;
    type Link = u32;
    type BackLink = u32;

    fn unit((): ()) {}

    fn split((): (), outcome: Outcome<Self>) -> (Outcome<Self>, Outcome<Self>) {
        (outcome, outcome)
    }

    fn dup((): (), link: &u32) -> u32 {
        *link
    }

    fn dup_canceller((): (), (): &()) {}

    fn is_same(one: &u32, other: &u32) -> bool {
        one == other
    }

    fn back((): (), link: &u32) -> u32 {
        *link
    }

    fn forth((): (), back: &u32) -> Option<u32> {
        Some(*back)
    }

    #[inline(always)]
    fn with<R>((): (), link: &u32, f: impl FnOnce(&mut Chain<Self>) -> R) -> R {
        Self::with_chain(*link, f)
    }

    #[inline(always)]
    fn call((): (), link: &u32, callback: u32, outcome: Outcome<Self>) -> Returned<Self> {
        match imports::deferred_call(*link, callback, outcome.is_err()) {
            VALUE => Returned::Outcome(Ok(())),
            FAILURE => Returned::Outcome(Err(())),
            other => Returned::Deferred(other - FAILURE - 1),
        }
    }

    fn call_canceller((): (), link: &u32, (): &()) -> Result<(), Threw> {
        threw(imports::deferred_ask_canceller(*link))
    }

    fn fire_cancelled((): (), link: &u32) -> Result<(), Threw> {
        threw(imports::deferred_fire_cancelled(*link))
    }

    fn cancel_foreign((): (), link: &u32) -> Result<bool, Threw> {
        match imports::deferred_cancel_foreign(*link) {
            USUAL => Ok(false),
            DONE => Ok(true),
            _ => Err(Threw),
        }
    }

    fn already_called((): (), _: &u32) {}

    fn is_shallow(_: &Outcome<Self>) -> bool {
        true
    }

    fn handed_on((): (), from: &u32, to: &u32) {
        imports::deferred_handed_on(*from, *to);
    }

    fn failure_rests((): (), link: &u32, rests: bool) {
        imports::deferred_failure_rests(*link, rests);
    }
}

impl Timed for JsDeferreds {
    type Clock = ();
    /// The number of the first of its two rungs.
    type Alarm = u32;

    fn set_alarm((): (), link: &u32, (): &(), alarm: &u32) -> Result<(), Threw> {
        threw(imports::deferred_set_alarm(*link, *alarm))
    }

    fn rang((): (), _: &u32) {
        imports::deferred_rang();
    }

    fn translate(alarm: &u32, (): ()) -> u32 {
        *alarm
    }

    fn stop(alarm: &u32, (): ()) -> u32 {
        *alarm + 1
    }
}
