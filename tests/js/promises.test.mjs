// Promises: pipelining, chaining, and safety from code that looks for thenables.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { inspect, promisify } from "node:util";
import { Referenceable, RemoteError, send, sendOnly, when } from "../../wasm/dist/node.js";
import { failure, pair, sleep, until } from "./support.mjs";

class Build extends Referenceable {
  constructor(number) {
    super();
    this.number = number;
  }
  getResults() {
    return { number: this.number, passed: 12 };
  }
}
class Builder extends Referenceable {
  constructor(name) {
    super();
    this.name = name;
  }
  async getBuild(number) {
    await null;
    return new Build(number);
  }
  getName() {
    return this.name;
  }
}
class Status extends Referenceable {
  log = [];
  getBuilder(name) {
    if (name === "none") throw new RangeError("no such builder");
    return new Builder(name);
  }
  async nameOf(builder) {
    return `it is ${await builder.getName()}`;
  }
  async inside(list) {
    return Promise.all(list);
  }
  note(text) {
    this.log.push(text);
  }
  getLog() {
    return this.log;
  }
  forever() {
    return new Promise(() => {});
  }
  thenable(then) {
    return { then };
  }
  later(value) {
    return sleep(20).then(() => value);
  }
}

test("a chain of three calls is one round trip", async (t) => {
  const { remote, client } = await pair(t, new Status());
  await remote;
  const before = client.stats();
  assert.deepEqual(await remote.getBuilder("linux").getBuild(-1).getResults(), { number: -1, passed: 12 });
  const after = client.stats();
  assert.equal(after.round_trips - before.round_trips, 1);
  assert.equal(after.calls_sent - before.calls_sent, 3);
  assert.equal(after.writes - before.writes, 1);
});

test("one call after the other is three round trips", async (t) => {
  const { remote, client } = await pair(t, new Status());
  await remote;
  const before = client.stats().round_trips;
  const builder = await remote.getBuilder("linux");
  const build = await builder.getBuild(3);
  assert.equal((await build.getResults()).number, 3);
  assert.equal(client.stats().round_trips - before, 3);
});

test("fetching the object and a chain on it take one round trip together", async (t) => {
  const { remote, client } = await pair(t, new Status());
  await remote.getBuilder("linux").getBuild(1).getResults();
  assert.equal(client.stats().round_trips, 1);
});

test("a promise is passed as an argument before it has settled", async (t) => {
  const { remote, client } = await pair(t, new Status());
  await remote;
  const before = client.stats().round_trips;
  assert.equal(await remote.nameOf(remote.getBuilder("mac")), "it is mac");
  assert.equal(client.stats().round_trips - before, 1);
});

test("promises inside of containers, settled, native and broken", async (t) => {
  const { remote } = await pair(t, new Status());
  const settled = remote.later(1);
  await settled;
  assert.deepEqual(await remote.inside([settled, remote.later(2), sleep(5).then(() => 3), 4]), [1, 2, 3, 4]);
  const broken = remote.getBuilder("none");
  await failure(broken);
  assert.equal((await failure(remote.inside([broken]))).message, "RangeError: no such builder");
  assert.equal((await failure(remote.inside([Promise.reject(new Error("mine"))]))).message, "Error: mine");
});

test("a method may answer with a thenable that calls back at once, or throws", async (t) => {
  class Odd extends Referenceable {
    early() {
      return { then: (resolve) => resolve("early") };
    }
    late() {
      return { then: () => { throw new RangeError("late"); } };
    }
  }
  const { remote } = await pair(t, new Odd());
  assert.equal(await remote.early(), "early");
  assert.equal((await failure(remote.late())).message, "RangeError: late");
});

test("_then and _except chain, in order, and run later", async (t) => {
  const { remote } = await pair(t, new Status());
  const seen = [];
  const promise = remote.later("x");
  const end = promise._then((value) => (seen.push([1, value]), "y"))._except(() => seen.push("no"))._then((value) => seen.push([2, value]));
  assert.equal(await end, 2);
  assert.deepEqual(seen, [[1, "x"], [2, "y"]]);
  promise._then((value) => seen.push([3, value]));
  assert.equal(seen.length, 2);
  await sleep(0);
  assert.deepEqual(seen[2], [3, "x"]);
  const caught = promise._then(() => { throw new RangeError("mine"); })._except((error) => error.message);
  assert.equal(await caught, "mine");
  assert.equal(await remote.getBuilder("none")._then(() => 1, () => 2), 2);
  const errors = [];
  remote.getBuilder("none")._then(() => errors.push("no"))._except((error) => errors.push(error.message));
  await until(() => errors.length > 0);
  assert.deepEqual(errors, ["RangeError: no such builder"]);
});

test("then, catch, finally and _when are those of a native promise", async (t) => {
  const { remote } = await pair(t, new Status());
  assert.equal(await remote.later(1).then((value) => value + 1), 2);
  assert.equal(await remote.getBuilder("none").catch((error) => error.message), "RangeError: no such builder");
  assert.equal(await remote.later(1).finally(() => 2), 1);
  const native = remote.later(1)._when();
  assert.ok(native instanceof Promise);
  assert.equal(await native, 1);
  assert.deepEqual(await Promise.all([remote.later(1), remote.later(2)]), [1, 2]);
});

test("a break goes down the chain", async (t) => {
  const { remote } = await pair(t, new Status());
  const error = await failure(remote.getBuilder("none").getBuild(1).getResults());
  assert.ok(error instanceof RemoteError);
  assert.equal(error.message, "RangeError: no such builder");
});

test("a message to plain data fails, before and after it has settled", async (t) => {
  const { remote } = await pair(t, new Status());
  const number = remote.later(5);
  const message = "TypeError: a message was sent to plain data, which has no methods";
  assert.equal((await failure(number.anything())).message, message);
  assert.equal((await failure(number.anything())).message, message);
});

test("messages keep their order over promises, pending and settled", async (t) => {
  const { remote } = await pair(t, new Status());
  for (let i = 0; i < 20; i++) remote.note(i);
  await remote;
  for (let i = 20; i < 40; i++) remote.note(i);
  assert.deepEqual(await remote.getLog(), Array.from({ length: 40 }, (_, i) => i));
});

test("send, sendOnly and when", async (t) => {
  const status = new Status();
  const { remote, client } = await pair(t, status);
  assert.equal(await send(remote).later(7), 7);
  const reference = await remote;
  assert.equal(await send(reference.getBuilder("bsd")).getName(), "bsd");
  assert.equal(await when(reference.later(7)), 7);
  assert.equal(await when(8), 8);
  const before = client.stats().calls_sent;
  assert.equal(sendOnly(remote).note("only"), undefined);
  await until(() => status.log.includes("only"));
  assert.equal(client.stats().calls_sent, before);
  assert.throws(() => send(7), TypeError);
  assert.throws(() => send(null), TypeError);
});

test("send reaches a local object in a later turn", async () => {
  const status = new Status();
  const done = send(status).note("local");
  assert.deepEqual(status.log, []);
  await done;
  assert.deepEqual(status.log, ["local"]);
  assert.equal(await send((a, b) => a * b)(6, 7), 42);
  assert.equal(await send(status).getBuilder("here").getName(), "here");
  sendOnly(status).note("again");
  await sleep(0);
  assert.deepEqual(status.log, ["local", "again"]);
});

test("looking at a promise or a reference sends nothing and breaks nothing", async (t) => {
  const { remote, client } = await pair(t, new Status());
  const reference = await remote;
  const before = client.stats().messages_sent;
  for (const it of [remote, reference, remote.forever()]) {
    assert.match(inspect(it), /^\[Remote(Promise|Reference)/);
    assert.equal(JSON.stringify({ it }), "{}");
    assert.match(it.toString(), /^\[Remote/);
    assert.equal(typeof it, "function");
    assert.equal(it.toJSON, undefined);
    assert.equal(it.inspect, undefined);
    assert.equal(it.$$typeof, undefined);
    assert.equal(it._private, undefined);
    assert.equal(it[Symbol.iterator], undefined);
    assert.equal(it.constructor, Object);
    assert.deepEqual(Object.keys(it), []);
    assert.throws(() => (it.x = 1), TypeError);
    assert.throws(() => Object.defineProperty(it, "x", { value: 1 }), TypeError);
    assert.throws(() => new it(), TypeError);
    assert.equal(inspect(it, { showProxy: true }).length > 0, true);
  }
  assert.equal(client.stats().messages_sent, before + 1);
  assert.equal(reference.then, undefined);
  assert.equal(await reference, reference);
});

test("an object that pretends to be a promise is not awaited", async (t) => {
  const { remote } = await pair(t, new Status());
  let called = false;
  const error = await failure(remote.thenable((resolve) => {
    called = true;
    resolve("tricked");
  }));
  assert.equal(error.message, 'TypeError: the result has a property "then" that is a reference');
  assert.equal(called, false);
});

test("a failure that nobody looks at is reported, once", async () => {
  // In a process of its own, which must not end by it.
  const { stdout } = await promisify(execFile)(process.execPath, [new URL("unhandled.mjs", import.meta.url).pathname]);
  assert.deepEqual(JSON.parse(stdout), ["RangeError: none", "in a callback", "in an async callback"]);
});
