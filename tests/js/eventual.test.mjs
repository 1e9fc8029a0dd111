// Eventual sends, promises of this program, turns and states; the examples that the project comes from.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CancelledError, Deferred, DisconnectedError, Referenceable, callSignal, eventually, fireEventually, flushEventualQueue,
  RemoteError, makePromise, promiseFor, send, sendOnly, state, when,
} from "../../wasm/dist/node.js";
import { failure, pair, sleep, until } from "./support.mjs";

class Log {
  entries = [];
  note(text) {
    this.entries.push(text);
    return this.entries.length;
  }
  fail() {
    throw new RangeError("none");
  }
  self() {
    return this;
  }
}

const SUCCESS = "success";
class Build extends Referenceable {
  getResults() {
    return SUCCESS;
  }
}
class Builder extends Referenceable {
  getBuild(number) {
    if (number !== -1) throw new RangeError("no such build");
    return new Build();
  }
}
class Status extends Referenceable {
  heard = [];
  getBuilder(name) {
    if (name !== "full") throw new RangeError("no such builder");
    return new Builder();
  }
  note(text) {
    this.heard.push(text);
  }
  begun = 0;
  forever() {
    this.begun++;
    const signal = callSignal();
    signal.addEventListener("abort", () => this.heard.push(signal.reason.message));
    return new Promise(() => {});
  }
  getReport() {
    return { name: "nightly", steps: [{ text: "compile", build: new Build() }, { text: "test" }] };
  }
  getBuilds(count) {
    return Array.from({ length: count }, () => new Build());
  }
  echo(value) {
    return value;
  }
  tell(listener) {
    return listener("told");
  }
}

// Sends.

test("a send happens in a later turn, in order, on any object", async () => {
  const log = new Log();
  const first = send(log).note("a");
  send(log).note("b");
  sendOnly(log).note("c");
  assert.deepEqual(log.entries, []);
  assert.equal(await first, 1);
  await flushEventualQueue();
  assert.deepEqual(log.entries, ["a", "b", "c"]);
  assert.equal((await failure(send(log).fail())).message, "none");
  assert.match((await failure(send(log).missing())).message, /no method named "missing"/);
  // Names that begin with an underscore are never sent.
  assert.equal(send(log)._private, undefined);
});

test("arguments of any kind reach a near object as they are", async () => {
  const [promise, resolve] = makePromise();
  const [set, f] = [new Set([1]), () => 1];
  const result = send(promise).take(set, f);
  resolve({ take: (...args) => args });
  assert.deepEqual(await result, [set, f]);
  assert.equal((await result)[0], set);
});

test("sends to a promise wait for it, in order, and go on in order when it has settled", async () => {
  const log = new Log();
  const [promise, resolve] = makePromise();
  const chained = send(send(promise).self()).note("chained");
  for (let i = 0; i < 3; i++) sendOnly(promise).note(i);
  resolve(log);
  sendOnly(promise).note(3);
  await chained;
  await flushEventualQueue();
  assert.deepEqual(log.entries.filter((entry) => entry !== "chained"), [0, 1, 2, 3]);
});

test("a smashed promise breaks what was sent to it before and after", async () => {
  const [promise, resolve] = makePromise();
  const before = send(send(promise).a()).b();
  resolve.smash(new RangeError("broken"));
  for (const broken of [before, send(promise).c(), when(promise), promise]) assert.equal((await failure(broken)).message, "broken");
});

test("a resolver resolves once", async () => {
  const [promise, resolve] = makePromise();
  resolve(1);
  resolve(2);
  resolve.smash(new Error("late"));
  assert.equal(await promise, 1);
});

test("a promise resolved to another is what that one becomes; a circle breaks", async () => {
  const [one, resolveOne] = makePromise();
  const [two, resolveTwo] = makePromise();
  resolveOne(two);
  const early = send(one).note("x");
  resolveTwo(new Log());
  assert.equal(await early, 1);
  const [a, resolveA] = makePromise();
  const [b, resolveB] = makePromise();
  resolveA(b);
  resolveB(a);
  assert.match((await failure(a)).message, /resolved to itself/);
  assert.match((await failure(b)).message, /resolved to itself/);
  const [self, resolveSelf] = makePromise();
  resolveSelf(self);
  assert.match((await failure(self)).message, /resolved to itself/);
});

test("promises are made of native ones, thenables, Deferreds and values", async () => {
  const deferred = new Deferred();
  const made = [promiseFor(sleep(1).then(() => 5)), promiseFor(deferred), promiseFor({ then: (f) => f(5) }), promiseFor(5)];
  deferred.callback(5);
  for (const promise of made) assert.equal(await promise, 5);
  assert.equal(promiseFor(made[0]), made[0]);
  assert.equal((await failure(promiseFor(Promise.reject(new RangeError("no"))))).message, "no");
});

test("send turns the methods of a promise off", async () => {
  const [promise, resolve] = makePromise();
  send(promise).note("x");
  assert.throws(() => promise.note("y"), /send\(p\)\.note/);
  resolve(new Log());
  assert.ok((await promise) instanceof Log);
});

test("using a promise as its value says what to do instead", () => {
  const [p, resolve] = makePromise();
  const uses = [() => `${p}`, () => p + 1, () => p * 2, () => p < 1, () => p[0], () => p == 5, () => +p];
  for (const use of uses) assert.throws(use, (error) => error instanceof TypeError && /a promise is not its value/.test(error.message));
  for (const use of [() => [...p], () => new Map(p), () => (p.x = 1)]) assert.throws(use, TypeError);
  resolve(1);
});

test("when gives native promises, for values too, before and after", async () => {
  const [promise, resolve] = makePromise();
  const before = when(promise);
  resolve(5);
  assert.ok(before instanceof Promise);
  assert.deepEqual(await Promise.all([before, when(promise), when(5), when(Promise.resolve(5))]), [5, 5, 5, 5]);
});

// Turns.

test("a turn runs to its end before the next, and one that throws is reported", async (t) => {
  const reports = [];
  t.mock.method(console, "error", (_, error) => reports.push(error.message));
  const seen = [];
  eventually(() => {
    eventually(() => seen.push("third"));
    seen.push("first");
    throw new Error("in a turn");
  });
  eventually(() => seen.push("second"));
  await flushEventualQueue();
  assert.deepEqual(seen, ["first", "second", "third"]);
  assert.deepEqual(reports, ["in a turn"]);
  sendOnly(new Log()).fail();
  await flushEventualQueue();
  assert.deepEqual(reports, ["in a turn", "none"]);
  assert.equal(await fireEventually(7), 7);
});

test("a flood of turns lets the event loop have its say", async () => {
  let turns = 0, ended = false;
  const again = () => {
    turns++;
    if (!ended) eventually(again);
  };
  eventually(again);
  await sleep(5);
  ended = true;
  assert.ok(turns > 10);
});

// States.

test("states of references, and how they change", async (t) => {
  const { remote, server } = await pair(t, new Status());
  assert.equal(state(remote), "remote");
  assert.equal(state(5), "near");
  const far = await remote;
  assert.equal(state(far), "far");
  assert.equal(state(remote), "far");
  const [promise, resolve] = makePromise();
  assert.equal(state(promise), "eventual");
  const [eventual, resolveEventual] = makePromise();
  resolveEventual(promise);
  assert.equal(state(eventual), "eventual");
  const answer = far.forever();
  resolve(answer);
  assert.equal(state(eventual), "remote");
  const [near, resolveNear] = makePromise();
  resolveNear(new Log());
  assert.equal(state(near), "near");
  const [toFar, resolveFar] = makePromise();
  resolveFar(far);
  assert.equal(state(toFar), "far");
  await server.close();
  await failure(eventual);
  for (const it of [eventual, answer, far, toFar, remote]) assert.equal(state(it), "broken");
  assert.equal(state(near), "near");
});

test("the end of a connection is told once, with whom it was to", async (t) => {
  const { remote, server } = await pair(t, new Status());
  const far = await remote;
  const reasons = [];
  far.notifyOnDisconnect((reason) => reasons.push(reason));
  const not = far.notifyOnDisconnect(() => reasons.push("no"));
  far.dontNotifyOnDisconnect(not);
  const waiting = far.forever();
  await server.close();
  const error = await failure(waiting);
  assert.ok(error instanceof DisconnectedError);
  assert.match(error.message, /ocapn:\/\//);
  await until(() => reasons.length > 0);
  far.notifyOnDisconnect((reason) => reasons.push(reason));
  await until(() => reasons.length > 1);
  await sleep(10);
  assert.deepEqual(reasons.map((reason) => reason instanceof DisconnectedError), [true, true]);
});

test("a message without an answer has none on the wire", async (t) => {
  const status = new Status();
  const { remote, client, server } = await pair(t, status);
  const far = await remote;
  await sleep(150);
  const [sent, received] = [client.stats().messages_sent, client.stats().messages_received];
  for (let i = 0; i < 5; i++) sendOnly(far).note(i);
  await until(() => status.heard.length === 5);
  assert.equal(client.stats().messages_sent - sent, 5);
  assert.equal(client.stats().messages_received, received);
  assert.deepEqual(status.heard, [0, 1, 2, 3, 4]);
  assert.ok(server.stats().messages_received >= 5);
});

// Promises as arguments.

test("promises of this program are arguments, nested ones too, and take messages before they settle", async (t) => {
  const { remote } = await pair(t, new Status());
  const [listener, resolve] = makePromise();
  const told = remote.tell(listener);
  const [value, resolveValue] = makePromise();
  const [broken, resolveBroken] = makePromise();
  const nested = remote.echo([{ value }]);
  const breaks = remote.echo(broken);
  resolve((text) => text.toUpperCase());
  resolveValue(7);
  resolveBroken.smash(new RangeError("no"));
  assert.equal(await told, "TOLD");
  assert.equal(await (await nested)[0].value, 7);
  assert.match((await failure(breaks)).message, /no/);
  // What cannot be passed breaks at the far side's promise for it, and says what it is.
  const [set, resolveSet] = makePromise();
  const refused = remote.echo(set);
  resolveSet(new Set());
  assert.match((await failure(refused)).message, /Set is not passable/);
});

// Errors.

test("an error keeps its type, and tells where it happened only if allowed", async (t) => {
  class Shop extends Referenceable {
    buy(what) {
      throw new RangeError(`no ${what} today`);
    }
  }
  class Rude extends Referenceable {
    go() {
      throw new RemoteError("not today: later");
    }
  }
  for (const tracebacks of [false, true]) {
    const { remote } = await pair(t, new Shop(), { server: { tracebacks } });
    const error = await failure(remote.buy("bread"));
    assert.equal(error.message, "RangeError: no bread today");
    assert.equal(error.type, "RangeError");
    if (tracebacks) assert.match(error.traceback, /at Shop\.buy/);
    else assert.equal(error.traceback, undefined);
  }
  const said = await failure((await pair(t, new Rude())).remote.go());
  assert.equal(said.type, undefined);
});

// Cancelling.

test("cancelling breaks the promise here and tells the method there", async (t) => {
  const status = new Status();
  const { remote } = await pair(t, status);
  // One that is cancelled before it has begun is not begun.
  const begun = (count) => until(() => status.begun === count);
  const call = remote.forever();
  await begun(1);
  call._cancel();
  assert.ok((await failure(call)) instanceof CancelledError);
  await until(() => status.heard.length === 1);
  assert.deepEqual(status.heard, ["the caller has cancelled the call"]);
  const controller = new AbortController();
  const aborted = send(await remote, { signal: controller.signal }).forever();
  await begun(2);
  controller.abort(new RangeError("enough"));
  assert.equal((await failure(aborted)).message, "enough");
  await until(() => status.heard.length === 2);
  const late = send(await remote, { signal: AbortSignal.abort(new RangeError("before")) }).note("never");
  assert.equal((await failure(late)).message, "before");
  const deferred = (await remote).callRemote("forever");
  await begun(3);
  deferred.addErrback((error) => status.heard.push(error.constructor.name));
  deferred.cancel();
  await until(() => status.heard.length === 4);
  assert.deepEqual(status.heard.slice(2).sort(), ["CancelledError", "the caller has cancelled the call"]);
});

test("cancelling reaches near objects, and a message that waits is not delivered", async () => {
  const log = new Log();
  const waits = send(log).note("never");
  waits._cancel();
  assert.ok((await failure(waits)) instanceof CancelledError);
  await flushEventualQueue();
  assert.deepEqual(log.entries, []);
  let aborted;
  const call = send({
    work() {
      callSignal().addEventListener("abort", (event) => (aborted = event.target.reason));
      return new Promise(() => {});
    },
  }).work();
  await flushEventualQueue();
  call._cancel(new RangeError("mine"));
  assert.equal(aborted.message, "mine");
  assert.throws(callSignal, TypeError);
});

// Parts and maps.

test("parts of a value, and maps over far lists, take one round trip", async (t) => {
  const { remote, client } = await pair(t, new Status());
  await remote;
  const before = client.stats().round_trips;
  const report = remote.getReport();
  const parts = [report._get("steps", 0, "text"), report._get("steps", -1, "text"), report._get("steps", 0, "build").getResults()];
  const results = remote.getBuilds(100)._map((build) => ({ results: build.getResults(), same: [build.getResults()] }));
  const nested = remote.getBuilds(2)._map(() => remote.getBuilds(2)._map((build) => build.getResults()));
  assert.deepEqual(await Promise.all(parts), ["compile", "test", SUCCESS]);
  assert.deepEqual((await results)[99], { results: SUCCESS, same: [SUCCESS] });
  assert.deepEqual(await nested, [[SUCCESS, SUCCESS], [SUCCESS, SUCCESS]]);
  assert.equal(client.stats().round_trips - before, 1);
  assert.match((await failure(report._get("stops"))).message, /there is no "stops"/);
  assert.match((await failure(remote.getReport()._get("stops"))).message, /KeyError: "stops"/);
  assert.equal(await report._get("steps", -1, "text"), "test");
  assert.throws(() => remote.getBuilds(1)._map(() => { throw new RangeError("mine"); }), /mine/);
  assert.throws(() => remote.getBuilds(1)._map(() => new Set()), /result: Set is not passable/);
  assert.equal(await remote.echo(8), 8);
});

test("a map may send to objects of this program, which the far side calls back", async (t) => {
  const { remote } = await pair(t, new Status());
  class Mine extends Referenceable {
    seen = 0;
    async see(results) {
      this.seen++;
      return `${await results}!`;
    }
  }
  const mine = new Mine();
  const seen = remote.getBuilds(3)._map((build) => send(mine).see(build.getResults()));
  assert.deepEqual(await seen, [`${SUCCESS}!`, `${SUCCESS}!`, `${SUCCESS}!`]);
  assert.equal(mine.seen, 3);
});

test("parts and maps of what is here", async () => {
  const [promise, resolve] = makePromise();
  const [part, twice] = [promise._get(1, "x"), promise._map((item) => item._get("x"))];
  resolve([{ x: 1 }, { x: 2 }]);
  assert.equal(await part, 2);
  assert.deepEqual(await twice, [1, 2]);
  assert.equal(await promise._get(-1, "x"), 2);
});

// The examples of the notes from 2006. The names are those of the notes.

async function withStatus(t, example) {
  const { client, uri } = await pair(t, new Status());
  await client.getReference(uri);
  const before = client.stats().round_trips;
  const results = await new Promise((resolve, reject) => example(() => client.getReference(uri), resolve, reject));
  assert.equal(results, SUCCESS);
  return client.stats().round_trips - before;
}

test("example 1: callRemote and Deferreds", async (t) => {
  const trips = await withStatus(t, (getStatus, checkResults, oops) => {
    const d = new Deferred();
    getStatus()._then(d.callback.bind(d));
    d.addCallback((s) => s.callRemote("getBuilder", "full"));
    d.addCallback((builder) => builder.callRemote("getBuild", -1));
    d.addCallback((build) => build.callRemote("getResults"));
    d.addCallback(checkResults);
    d.addErrback(oops);
  });
  assert.equal(trips, 4);
});

test("example 2: send and when", async (t) => {
  const trips = await withStatus(t, (getStatus, checkResults, oops) => {
    const s = getStatus();
    const b = send(s).getBuilder("full");
    const b1 = send(b).getBuild(-1);
    const r = send(b1).getResults();
    when(r).then(checkResults).catch(oops);
  });
  assert.equal(trips, 1);
});

test("example 3: as if it were here", async (t) => {
  const trips = await withStatus(t, (getStatus, checkResults, oops) => {
    const s = getStatus();
    const b = s.getBuilder("full");
    const b1 = b.getBuild(-1);
    const r = b1.getResults();
    r._then(checkResults)._except(oops);
  });
  assert.equal(trips, 1);
});

test("example 4: in one column", async (t) => {
  const trips = await withStatus(t, (getStatus, checkResults, oops) => {
    getStatus().getBuilder("full")
      .getBuild(-1)
      .getResults()
      ._then(checkResults)
      ._except(oops);
  });
  assert.equal(trips, 1);
});

test("example 5: in one expression", async (t) => {
  const trips = await withStatus(t, (getStatus, checkResults, oops) => {
    when(send(send(send(getStatus()).getBuilder("full")).getBuild(-1)).getResults()).then(checkResults).catch(oops);
  });
  assert.equal(trips, 1);
});
