// Several Deferreds: lists, races, and things that are shared.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CancelledError, Deferred, DeferredList, DeferredLock, DeferredQueue, DeferredSemaphore, FailureGroup, FirstError,
  QueueOverflow, QueueUnderflow, fail, gatherResults, race, succeed,
} from "../../wasm/dist/node.js";
import { failure, sleep } from "./support.mjs";

const deferreds = (count, canceller) => Array.from({ length: count }, () => new Deferred(canceller));

test("gatherResults collects the values, in the order of the inputs", async () => {
  const inputs = deferreds(3);
  const all = gatherResults([...inputs, Promise.resolve("native")]);
  for (const i of [2, 0, 1]) inputs[i].callback(i);
  assert.deepEqual(await all, [0, 1, 2, "native"]);
  // The inputs go on with what they have.
  assert.equal(await inputs[1].addCallback((value) => value + 1), 2);
  assert.deepEqual(await gatherResults([]), []);
});

test("gatherResults fails with the first failure", async () => {
  const inputs = deferreds(3);
  const all = gatherResults(inputs, { consumeErrors: true });
  inputs[1].errback(new RangeError("no"));
  inputs[0].errback(new Error("later"));
  inputs[2].callback(3);
  const error = await failure(all);
  assert.ok(error instanceof FirstError);
  assert.deepEqual([error.name, error.index, error.subFailure.message, error.cause], ["FirstError", 1, "no", error.subFailure]);
  assert.equal(await inputs[1], undefined);
});

test("cancelling a list cancels all, whatever one of them throws", async () => {
  let count = 0;
  const reported = [];
  Deferred.onUnhandledError = (error) => reported.push(error.message);
  const inputs = [...deferreds(2, () => count++), new Deferred(() => { throw new Error("stubborn"); }), ...deferreds(1, () => count++)];
  const all = gatherResults(inputs, { consumeErrors: true });
  const outer = succeed(1).addCallback(() => all);
  outer.cancel();
  assert.equal(count, 3);
  assert.deepEqual(reported, ["stubborn"]);
  const error = await failure(outer);
  assert.ok(error.subFailure instanceof CancelledError);
  all.cancel();
  assert.equal(count, 3);
});

test("a DeferredList says of each how it ended", async () => {
  const error = new Error("no");
  const list = new DeferredList([succeed(1), fail(error), sleep(1).then(() => 3)], { consumeErrors: true });
  assert.ok(list instanceof Deferred);
  assert.deepEqual(await list, [[true, 1], [false, error], [true, 3]]);
  assert.deepEqual(await new DeferredList([]), []);
});

test("a DeferredList may fire with the first value or error", async () => {
  const inputs = deferreds(3);
  const strict = new DeferredList(inputs, { fireOnOneErrback: true });
  const first = new DeferredList(inputs, { fireOnOneCallback: true, consumeErrors: true });
  inputs[2].errback(new Error("no"));
  assert.equal((await failure(strict)).index, 2);
  inputs[1].callback("one");
  assert.deepEqual(await first, ["one", 1]);
  inputs[0].callback("late");
  const none = new DeferredList(deferreds(2).map((d, i) => (d.errback(new Error(`${i}`)), d)), { fireOnOneCallback: true, consumeErrors: true });
  assert.deepEqual((await none).map(([ok, error]) => [ok, error.message]), [[false, "0"], [false, "1"]]);
  assert.equal(new DeferredList([], { fireOnOneCallback: true }).called, false);
});

test("race gives the first value and cancels the others", async () => {
  const cancelled = [];
  const inputs = Array.from({ length: 3 }, (_, i) => new Deferred(() => cancelled.push(i)));
  const winner = race(inputs);
  inputs[0].errback(new Error("out early"));
  inputs[1].callback("won");
  assert.deepEqual(await winner, [1, "won"]);
  assert.deepEqual(cancelled, [2]);
  const lost = await failure(race([fail(new Error("a")), sleep(1).then(() => { throw new Error("b"); })]));
  assert.ok(lost instanceof FailureGroup && lost instanceof AggregateError);
  assert.deepEqual(lost.failures.map(({ message }) => message), ["a", "b"]);
  assert.equal(lost.errors.length, 2);
  const others = deferreds(2);
  const given = race(others);
  given.cancel();
  assert.ok((await failure(given)) instanceof FailureGroup);
  assert.deepEqual(await Promise.all(others), [undefined, undefined]);
});

test("a lock is had by one at a time, in order", async () => {
  const lock = new DeferredLock();
  const log = [];
  const run = (name) => lock.run(async (mark) => {
    log.push(`${name}${mark} begins`);
    await sleep(1);
    log.push(`${name}${mark} ends`);
    if (name === "b") throw new Error("b fails");
    return name;
  }, "!");
  const all = [run("a"), run("b"), run("c")];
  assert.equal(lock.locked, true);
  assert.equal(lock.waiting.length, 2);
  assert.equal(await all[0], "a");
  assert.equal((await failure(all[1])).message, "b fails");
  assert.equal(await all[2], "c");
  assert.deepEqual(log, ["a", "b", "c"].flatMap((name) => [`${name}! begins`, `${name}! ends`]));
  assert.equal(lock.locked, false);
  assert.throws(() => lock.release(), /more often/);
});

test("who waits for a lock may give up", async () => {
  const lock = new DeferredLock();
  assert.equal(await lock.acquire(), lock);
  const [one, two] = [lock.acquire(), lock.acquire()];
  one.cancel();
  assert.ok((await failure(one)) instanceof CancelledError);
  assert.deepEqual(lock.waiting, [two]);
  assert.equal(two.called, false);
  lock.release();
  assert.equal(await two, lock);
  assert.equal(lock.locked, true);
  lock.release();
});

test("a semaphore is had by so many", async () => {
  const semaphore = new DeferredSemaphore(2);
  let now = 0, most = 0;
  const all = Array.from({ length: 7 }, (_, i) => semaphore.run(async () => {
    most = Math.max(most, ++now);
    await sleep(1);
    now--;
    return i;
  }));
  assert.deepEqual([semaphore.tokens, semaphore.limit, semaphore.waiting.length], [0, 2, 5]);
  assert.deepEqual(await gatherResults(all), [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual([most, semaphore.tokens], [2, 2]);
  for (const bad of [0, -1, 1.5, NaN]) assert.throws(() => new DeferredSemaphore(bad), RangeError);
});

test("a queue serves in order on both sides, within its bounds", async () => {
  const queue = new DeferredQueue(2, 2);
  queue.put("a");
  queue.put("b");
  assert.throws(() => queue.put("c"), QueueOverflow);
  assert.deepEqual(queue.pending, ["a", "b"]);
  assert.deepEqual([await queue.get(), await queue.get()], ["a", "b"]);
  const [one, two] = [queue.get(), queue.get()];
  assert.throws(() => queue.get(), QueueUnderflow);
  one.cancel();
  assert.ok((await failure(one)) instanceof CancelledError);
  const three = queue.get();
  assert.deepEqual(queue.waiting, [two, three]);
  assert.throws(() => queue.put(Promise.resolve(1)), TypeError);
  queue.put("d");
  queue.put(undefined);
  assert.deepEqual([await two, await three], ["d", undefined]);
  const endless = new DeferredQueue();
  for (let i = 0; i < 1000; i++) endless.put(i);
  for (let i = 0; i < 1000; i++) assert.equal(await endless.get(), i);
  assert.throws(() => new DeferredQueue(-1), RangeError);
});
