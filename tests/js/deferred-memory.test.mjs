// Deferreds that nobody can reach are collected, whatever they refer to; and long chains need no stack.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CancelledError, Deferred, DeferredList, DeferredLock, DeferredQueue, fail, gatherResults, race, succeed } from "../../wasm/dist/node.js";
import { wasm } from "../../wasm/dist/wasm.js";
import { failure, gc, sleep } from "./support.mjs";

Deferred.onUnhandledError = () => {};

/** Waits until they are collected. Whoever looks at a WeakRef keeps it alive for that job, so that is done apart. */
async function gone(refs) {
  for (let i = 0; i < 50; i++) {
    await sleep(2);
    gc();
    await sleep(2);
    if (refs.every((ref) => ref.deref() === undefined)) return;
  }
  assert.fail(`${refs.filter((ref) => ref.deref()).length} of ${refs.length} are still there`);
}

/** Deferreds that would never go if anything in WebAssembly, or a table, held them. */
const shapes = {
  "one whose callback captures it"() {
    const d = new Deferred();
    d.addCallback(() => d);
    return [d];
  },
  "one with many callbacks that do"() {
    const d = new Deferred(() => d);
    for (let i = 0; i < 40; i++) d.addBoth(() => d);
    return [d];
  },
  "two that refer to each other, with numbers"() {
    const [one, two] = [new Deferred(), new Deferred()];
    one.addCallback(() => two);
    two.addCallback(() => one);
    one.pause();
    two.pause();
    return [one, two];
  },
  "one that waits for another that never fires"() {
    const inner = new Deferred();
    const outer = succeed(1).addCallback(() => inner);
    inner.addCallback(() => outer);
    return [inner, outer];
  },
  "two that wait for each other"() {
    const [one, two] = [new Deferred(), new Deferred()];
    one.addCallback(() => two);
    two.addCallback(() => one);
    one.callback(1);
    two.callback(1);
    return [one, two];
  },
  "one whose value is itself, in an object"() {
    const d = new Deferred();
    d.callback({ d });
    d.addCallback((value) => value);
    return [d];
  },
  "one that failed and was reported"() {
    const d = fail(new Error("no"));
    d.addErrback((error) => Object.assign(error, { d }));
    return [d];
  },
  "one that was cancelled"() {
    const d = new Deferred();
    d.addBoth((error) => [error, d]);
    d.cancel();
    return [d];
  },
  "one that is awaited for ever"() {
    const d = new Deferred();
    (async () => console.log(await d))();
    return [d];
  },
  "a list and what it waits for"() {
    const inputs = [new Deferred(), new Deferred()];
    const list = new DeferredList(inputs);
    inputs[0].addCallback(() => list);
    return [list, ...inputs, gatherResults(inputs), race(inputs)];
  },
  "a lock and a queue that are waited for"() {
    const lock = new DeferredLock();
    const queue = new DeferredQueue();
    return [lock, lock.acquire(), lock.acquire(), lock.run(() => lock), queue, queue.get()];
  },
  "one that was handed on"() {
    const inner = new Deferred();
    const outer = succeed(1).addCallback(() => inner).addCallback(() => new Deferred());
    inner.callback(1);
    const last = succeed(1).addCallback(() => outer);
    return [inner, outer, last];
  },
};

for (const [name, make] of Object.entries(shapes)) {
  test(`collected: ${name}`, async () => {
    const refs = make().map((object) => new WeakRef(object));
    await gone(refs);
  });
}

test("what they took in WebAssembly is used again", async () => {
  // Each round makes Deferreds that keep a ladder until they are collected.
  const round = () => {
    for (let i = 0; i < 50_000; i++) {
      const d = new Deferred();
      d.pause();
      for (let k = 0; k < 3; k++) d.addCallback(() => d);
    }
  };
  const rest = async () => {
    for (let i = 0; i < 5; i++) {
      gc();
      await sleep(5);
    }
  };
  for (let i = 0; i < 2; i++) {
    round();
    await rest();
  }
  const before = wasm.memory.buffer.byteLength;
  for (let i = 0; i < 6; i++) {
    round();
    await rest();
  }
  assert.ok(wasm.memory.buffer.byteLength <= before, `${wasm.memory.buffer.byteLength} after ${before} bytes`);
});

test("the usual life of one takes no memory in WebAssembly", () => {
  const d = new Deferred();
  d.addCallback((value) => value + 1);
  d.callback(1);
  const before = wasm.memory.buffer.byteLength;
  for (let i = 0; i < 200_000; i++) {
    const d = new Deferred();
    d.addCallback((value) => value + 1);
    d.callback(1);
  }
  assert.equal(wasm.memory.buffer.byteLength, before);
});

test("100,000 Deferreds that wait for one another fire without recursion", async () => {
  const count = 100_000;
  for (const order of ["the last one last", "the last one first"]) {
    const all = Array.from({ length: count }, () => new Deferred());
    for (let i = 0; i < count - 1; i++) all[i].addCallback(() => all[i + 1]).addCallback((value) => value + 1);
    if (order === "the last one first") for (let i = count - 1; i >= 0; i--) all[i].callback(0);
    else for (let i = 0; i < count; i++) all[i].callback(0);
    assert.equal(await all[0], count - 1);
  }
});

test("100,000 that wait are cancelled, and fail", async () => {
  let first = new Deferred();
  for (let i = 0; i < 100_000; i++) {
    const inner = first;
    first = succeed(i).addCallback(() => inner);
  }
  first.cancel();
  assert.ok((await failure(first)) instanceof CancelledError);
});

test("100,000 that nobody can reach are collected, however they hang together", async () => {
  const ref = (() => {
    let first = new Deferred();
    const ref = new WeakRef(first);
    for (let i = 0; i < 100_000; i++) {
      const inner = first;
      first = succeed(i).addCallback(() => inner);
    }
    return ref;
  })();
  await gone([ref]);
});

test("callbacks that fire one another deeper than the stack fail, and nothing else breaks", async () => {
  const count = 100_000;
  for (let round = 0; round < 20; round++) {
    const all = Array.from({ length: count }, () => new Deferred());
    const errors = [];
    for (let i = 0; i < count - 1; i++) all[i].addCallback(() => all[i + 1].callback(0));
    all[0].callback(0);
    // None of them is stuck.
    const left = all.findIndex((d) => !d.called);
    assert.ok(left > 100, `${left}`);
    let ran = 0;
    for (const d of all.slice(0, left)) d.addErrback((error) => errors.push(error.constructor)).addCallback(() => ran++);
    assert.equal(ran, left);
    assert.deepEqual(errors, [RangeError]);
    // The one that was too deep can be fired from elsewhere.
    all.find((d) => !d.called).callback(0);
  }
});
