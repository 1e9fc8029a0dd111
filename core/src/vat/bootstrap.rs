//! The object at position 0, which every session has.

use std::sync::Arc;

use super::connection::Connection;
use super::{Extension, Vat};
use crate::error::Error;
use crate::host::{Host, Message, Ref, Reply};
use crate::passable::{Builder, Item};

impl<H: Host> Connection<H> {
    /// Answers a message to the bootstrap object: it gives out what was registered (`fetch`), plays the
    /// exporter's part in hand-offs (`deposit-gift`, `withdraw-gift`), and takes what Marotte peers
    /// tell each other.
    pub(super) fn bootstrap(
        self: &Arc<Self>,
        cx: H::Cx<'_>,
        vat: &Arc<Vat<H>>,
        message: Message<'_, H>,
    ) -> Reply<H> {
        let reply = match message.selector {
            Some("fetch") => fetch(cx, vat, message),
            Some("deposit-gift") => self
                .deposit(cx, vat, message.args)
                .map(|()| nothing(cx, vat)),
            Some("withdraw-gift") => self.hand_out(cx, vat, message.args),
            name if Extension::of(name) == Some(Extension::Cancel) => {
                self.cancelled_by_peer(cx, vat, message.args);
                Ok(nothing(cx, vat))
            }
            name => Err(Error::no_such_method(name)),
        };
        reply.unwrap_or_else(|error| Reply::Failure(H::failure(cx, error)))
    }
}

fn fetch<H: Host>(
    cx: H::Cx<'_>,
    vat: &Arc<Vat<H>>,
    message: Message<'_, H>,
) -> Result<Reply<H>, Error> {
    let Ok(Item::Bytes(swiss)) = message.args.reader().next() else {
        return Err(Error::remote(
            "TypeError: fetch takes a swiss number, as bytes",
        ));
    };
    match vat.registered(cx, swiss) {
        Some(object) => Ok(Reply::Value(H::value_of(cx, Ref::Local(object)))),
        None => Err(Error::remote(
            "KeyError: no object is registered under that swiss number",
        )),
    }
}

/// The answer of who has nothing to say.
fn nothing<H: Host>(cx: H::Cx<'_>, vat: &Arc<Vat<H>>) -> Reply<H> {
    let mut void = Builder::default();
    void.void();
    match H::accept(cx, vat, void.view()) {
        Ok(value) => Reply::Value(value),
        Err(failure) => Reply::Failure(failure),
    }
}
