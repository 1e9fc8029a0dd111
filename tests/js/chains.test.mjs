// Promises that depend on one another: chains longer than any stack, circles, and how cancelling reaches back through them.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import {
  CancelledError, Deferred, Referenceable, RemoteError, callSignal, flushEventualQueue, makePromise, promiseFor, send, sendOnly, state,
} from "../../wasm/dist/node.js";
import { failure, gc, pair, until } from "./support.mjs";

const MANY = 20_000;

class Log extends Referenceable {
  entries = [];
  note(entry) {
    this.entries.push(entry);
    return this.entries.length;
  }
  self() {
    return this;
  }
  countDown(n) {
    return n === 0 ? "done" : send(this).countDown(n - 1);
  }
  echo(value) {
    return value;
  }
}

/** Work that ends only when it is cancelled, and calls that lead to it. */
class Worker extends Referenceable {
  begun = 0;
  ended = [];
  shared = makePromise();

  signal() {
    this.begun++;
    callSignal().addEventListener("abort", () => this.ended.push("signal"));
    return new Promise(() => {});
  }
  deferred() {
    this.begun++;
    return new Deferred(() => this.ended.push("deferred"));
  }
  sharedPromise() {
    this.begun++;
    return this.shared[0];
  }
  others(count) {
    return Array.from({ length: count }, () => this);
  }
  take() {}
}

// Long chains.

test("promises resolved to one another, in either order", async () => {
  for (const order of ["first", "last"]) {
    const all = Array.from({ length: MANY }, () => makePromise());
    const links = Array.from({ length: MANY - 1 }, (_, i) => i);
    if (order === "last") links.reverse();
    const early = send(all[0][0]).note("early");
    for (const i of links) all[i][1](all[i + 1][0]);
    const late = send(all[0][0]).note("late");
    const log = new Log();
    assert.equal(state(all[0][0]), "eventual");
    all[MANY - 1][1](log);
    assert.equal(await all[0][0], log);
    assert.deepEqual([await early, await late], [1, 2]);
    assert.deepEqual(log.entries, ["early", "late"]);
  }
});

test("messages to answers of messages that wait", async () => {
  for (const end of ["value", "broken"]) {
    const [head, resolve] = makePromise();
    let last = head;
    for (let i = 0; i < MANY; i++) last = last.self();
    const only = sendOnly(last);
    only.note("x");
    const log = new Log();
    if (end === "value") {
      resolve(log);
      assert.equal(await last, log);
      await flushEventualQueue();
      assert.deepEqual(log.entries, ["x"]);
    } else {
      resolve.smash(new RangeError("none"));
      assert.equal((await failure(last)).message, "none");
    }
  }
});

test("functions given to promises", async () => {
  const [head, resolve] = makePromise();
  let last = head;
  for (let i = 0; i < MANY; i++) last = last._except(() => "never");
  const [other, smash] = makePromise();
  let sum = other;
  for (let i = 0; i < MANY; i++) sum = sum._then((n) => n + 1);
  resolve("passes");
  smash(0);
  assert.equal(await last, "passes");
  assert.equal(await sum, MANY);
});

test("methods that end with a send to themselves, near and far", async (t) => {
  assert.equal(await send(new Log()).countDown(MANY), "done");
  const { remote, client, server } = await pair(t, new Log());
  assert.equal(await remote.countDown(MANY), "done");
  let last = remote;
  for (let i = 0; i < MANY; i++) last = last.self();
  assert.equal(await last.echo(5), 5);
  await until(() => client.stats().questions === 0 && server.stats().answers === 0, gc);
});

test("cancelling the end of a long chain breaks all of it", async () => {
  const worker = new Worker();
  const call = send(worker).signal();
  let last = call;
  for (let i = 0; i < MANY; i++) last = last._except((error) => error);
  await flushEventualQueue();
  last._cancel();
  assert.ok((await failure(call)) instanceof CancelledError);
  assert.deepEqual(worker.ended, ["signal"]);
});

// Order.

test("what is sent while messages are sent on comes after them", async () => {
  const log = new Log();
  const [first, resolveFirst] = makePromise();
  const [second, resolveSecond] = makePromise();
  const sent = (i) => send(first).note(i);
  for (let i = 0; i < 5; i++) sent(i);
  resolveFirst(second);
  for (let i = 5; i < 10; i++) sent(i);
  second._then(() => sent(100));
  resolveSecond(log);
  for (let i = 10; i < 15; i++) sent(i);
  await flushEventualQueue();
  assert.deepEqual(log.entries, [...Array(15).keys(), 100]);
});

// Circles.

test("a circle through another program breaks", async (t) => {
  const { remote } = await pair(t, new Log());
  for (const far of [remote, await remote]) {
    const [promise, resolve] = makePromise();
    const echoed = far.echo(promise);
    resolve(echoed);
    assert.match((await failure(promise)).message, /cannot be resolved to itself/);
    await failure(echoed);
    // By way of another one of this program's.
    const [a, resolveA] = makePromise();
    const [b, resolveB] = makePromise();
    resolveA(far.echo(b));
    resolveB(far.echo(a));
    await failure(a);
    await failure(b);
  }
});

// Cancelling.

const resolvedTo = (call) => {
  const [promise, resolve] = makePromise();
  resolve(call);
  return promise;
};

const compositions = {
  "then": (far, method) => far[method]()._then((value) => value),
  "except": (far, method) => far[method]()._except((error) => error),
  "several": (far, method) => far[method]()._then(String)._except(String)._then(String),
  "a promise resolved to it": (far, method) => resolvedTo(far[method]()),
  "one resolved to what is made of it": (far, method) => resolvedTo(far[method]()._then(String)),
  "one that waits": (far, method) => {
    const [promise, resolve] = makePromise();
    const call = promise[method]();
    queueMicrotask(() => resolve(far));
    return call;
  },
};

for (const [name, compose] of Object.entries(compositions)) {
  test(`cancelling reaches the callee: ${name}`, async (t) => {
    for (const method of ["signal", "deferred"]) {
      const worker = new Worker();
      const { remote, client, server } = await pair(t, worker);
      for (const target of [await remote, promiseFor(worker)]) {
        worker.begun = 0;
        worker.ended = [];
        const promise = compose(target, method);
        await until(() => worker.begun === 1);
        promise._cancel();
        assert.ok((await failure(promise)) instanceof CancelledError);
        await until(() => worker.ended.length === 1);
        assert.deepEqual(worker.ended, [method]);
      }
      await until(() => client.stats().questions === 0 && server.stats().answers === 0, gc);
    }
  });
}

test("cancelling reaches through methods that return promises", async (t) => {
  const worker = new Worker();
  const last = await pair(t, worker);
  const far = await last.remote;
  class Between extends Referenceable {
    pass() {
      return far.signal();
    }
    made() {
      return far.signal()._then(String);
    }
    near() {
      return send(worker).signal();
    }
    signalled() {
      callSignal().addEventListener("abort", () => worker.ended.push("between"));
      return far.signal();
    }
  }
  const { remote, client, server } = await pair(t, new Between());
  for (const method of ["pass", "made", "near", "signalled"]) {
    worker.begun = 0;
    worker.ended = [];
    const call = remote[method]();
    await until(() => worker.begun === 1);
    call._cancel();
    await until(() => worker.ended.includes("signal"));
    assert.deepEqual(worker.ended.sort(), method === "signalled" ? ["between", "signal"] : ["signal"]);
  }
  await until(() => client.stats().questions === 0 && server.stats().answers === 0, gc);
});

test("what others wait for goes on", async (t) => {
  const worker = new Worker();
  const { remote, client, server } = await pair(t, worker);
  const far = await remote;
  const [waited, asked, messaged, passed] = Array.from({ length: 4 }, () => far.signal());
  waited.then(() => {}, () => {});
  asked._then(() => {})._except(() => {});
  messaged.note()._except(() => {});
  far.take(passed)._except(() => {});
  const all = [waited, asked, messaged, passed];
  const made = all.map((call) => call._then(String));
  await until(() => worker.begun === 4);
  for (const promise of made) promise._cancel();
  await far.take();
  assert.deepEqual(all.map(state), Array(4).fill("remote"));
  assert.deepEqual(worker.ended, []);
  // A promise that has a resolver is broken by none but that, and calls that wait for it can be given up.
  const calls = Array.from({ length: 1000 }, () => far.sharedPromise());
  await until(() => worker.begun === 1004);
  for (const call of calls) call._cancel();
  for (const call of all) call._cancel();
  await until(() => client.stats().questions === 0 && server.stats().answers === 0, gc);
  assert.equal(state(worker.shared[0]), "eventual");
  const [promise, resolve] = makePromise();
  promise._then(String)._cancel();
  resolve(2);
  assert.equal(await promise, 2);
});

test("cancelling reaches Deferreds, signals of calls that wait, and the calls of a map", async (t) => {
  const worker = new Worker();
  promiseFor(new Deferred(() => worker.ended.push("told")))._cancel();
  assert.deepEqual(worker.ended.splice(0), ["told"]);
  const { remote, client, server } = await pair(t, worker);
  const [promise, resolve] = makePromise();
  const controller = new AbortController();
  const call = send(promise, { signal: controller.signal }).signal();
  resolve(await remote);
  await until(() => worker.begun === 1);
  controller.abort();
  await failure(call);
  await until(() => worker.ended.length === 1);
  const results = remote.others(5)._map((each) => each.signal());
  await until(() => worker.begun === 6);
  results._cancel();
  await until(() => worker.ended.length === 6);
  await until(() => client.stats().questions === 0 && server.stats().answers === 0, gc);
});

test("a function is not called for a promise that is cancelled", async () => {
  const called = [];
  const [promise, resolve] = makePromise();
  const waiting = promise._then((value) => called.push(value));
  resolve(1);
  const late = promise._then((value) => called.push(value));
  waiting._cancel();
  late._cancel();
  await flushEventualQueue();
  assert.deepEqual(called, []);
});

// Maps, and resolvers that are dropped.

test("a function given to _map cannot wait", async (t) => {
  const { remote } = await pair(t, new Log());
  for (const list of [remote.echo([1, 2]), promiseFor([new Log(), new Log()])]) {
    const waits = [
      (item) => item._then(String), (item) => item._except(String), (item) => item.then(String), async (item) => await item,
      async () => 1,
    ];
    for (const wait of waits) {
      let error;
      try {
        error = await failure(list._map(wait));
      } catch (thrown) {
        error = thrown;
      }
      assert.match(error.message, /a function given to _map cannot (wait|be async)/);
    }
  }
});

test("a promise that others have breaks when its resolver is dropped", async (t) => {
  const { remote, client, server } = await pair(t, new Log());
  let [promise, resolve] = makePromise();
  const kept = (() => {
    const [of, { smash }] = makePromise();
    return { of, smash };
  })();
  const outcome = failure(promise._then(String));
  const far = failure((await remote.echo({ promise })).promise);
  let [late, never] = makePromise();
  never = undefined;
  resolve = undefined;
  await until(() => state(promise) === "broken", gc);
  const error = await outcome;
  assert.ok(error instanceof RemoteError);
  assert.match(error.message, /the resolver was dropped/);
  assert.match((await far).message, /the resolver was dropped/);
  assert.equal(state(late), "eventual");
  let lateError;
  failure(remote.echo(late)).then((error) => (lateError = error));
  await until(() => lateError, gc);
  assert.match(lateError.message, /the resolver was dropped/);
  await until(() => client.stats().exports === 0 && server.stats().imports === 0, gc);
  assert.equal(state(kept.of), "eventual", "the method holds the resolver");
  kept.smash(new RangeError("mine"));
  assert.equal((await failure(kept.of)).message, "mine");
});

test("cancelling a map over a list that is here reaches its calls", async (t) => {
  const worker = new Worker();
  const { remote } = await pair(t, worker);
  const [early, resolveEarly] = makePromise();
  const far = await remote.others(2);
  const here = [() => promiseFor([worker, worker]), () => early, () => promiseFor(far)];
  for (const list of here) {
    worker.begun = 0;
    worker.ended = [];
    const results = list()._map((each) => ({ result: each.signal() }));
    if (list() === early) resolveEarly([worker, worker]);
    await until(() => worker.begun === 2);
    results._cancel();
    await until(() => worker.ended.length === 2);
    assert.ok((await failure(results)) instanceof CancelledError);
  }
});

test("a method that cancels its own call is told, and what fails late is nobody's failure", async () => {
  const unhandled = [];
  const note = (error) => unhandled.push(error);
  process.on("unhandledRejection", note);
  let call, aborted;
  call = send({
    work() {
      callSignal().addEventListener("abort", () => (aborted = true));
      call._cancel();
      return Promise.reject(new Error("late"));
    },
  }).work();
  assert.ok((await failure(call)) instanceof CancelledError);
  assert.equal(aborted, true);
  const [promise, resolve] = makePromise();
  promise._except(() => {});
  promise._cancel();
  resolve(Promise.reject(new Error("late")));
  await new Promise((done) => setTimeout(done, 10));
  process.off("unhandledRejection", note);
  assert.deepEqual(unhandled, []);
});

test("a console that throws stops nothing", () => {
  // In a program of its own: the test runner looks at uncaught exceptions, too.
  const program = `
    import { Referenceable, Tub, makePromise } from "../../wasm/dist/node.js";
    const [server, client] = [new Tub(), new Tub()];
    await server.listen();
    const far = await client.getReference(server.registerReference(new (class extends Referenceable {})()));
    far.notifyOnDisconnect(() => { throw new Error("handler"); });
    const thrown = new Promise((resolve) => process.once("uncaughtException", (error) => resolve(error.message)));
    console.error = () => { throw new Error("console"); };
    client.close();
    const [promise, resolve] = makePromise();
    const when = promise._when();
    resolve(7);
    console.log(await thrown, await when);
    await server.close();
  `;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", program], { cwd: import.meta.dirname, encoding: "utf8" });
  assert.equal(run.stderr, "");
  assert.equal(run.stdout, "console 7\n");
});
