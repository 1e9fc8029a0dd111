// Deferreds: the ladder, cancelling, waiting, promises, and what nobody handles.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import {
  AlreadyCalledError, CancelledError, Deferred, Referenceable, TimeoutError, Tub, fail, maybeDeferred, succeed,
} from "../../wasm/dist/node.js";
import { failure, pair, sleep } from "./support.mjs";

/** A list to write to, and functions that do. */
function notes() {
  const seen = [];
  const note = (name, result) => (value) => {
    seen.push([name, value]);
    return result;
  };
  return { seen, note };
}

test("callbacks are called in order, each with what the one before returned", () => {
  const { seen, note } = notes();
  const d = new Deferred();
  assert.equal(d.addCallback(note("a", 2)).addErrback(note("no")).addBoth(note("b", 3)), d);
  assert.equal(d.called, false);
  d.callback(1);
  assert.equal(d.called, true);
  d.addCallback(note("c"));
  assert.deepEqual(seen, [["a", 1], ["b", 2], ["c", 3]]);
});

test("what throws turns to the errbacks, and what returns turns back", () => {
  const { seen, note } = notes();
  const error = new RangeError("no");
  const d = new Deferred();
  d.addCallback(() => {
    throw error;
  });
  d.addCallback(note("skipped")).addErrback(note("errback", 5)).addErrback(note("skipped")).addCallback(note("callback"));
  d.callback(1);
  assert.deepEqual(seen, [["errback", error], ["callback", 5]]);
});

test("an error that is returned as it was given stays an error; another value does not", () => {
  const { seen, note } = notes();
  const error = new Error("no");
  fail(error).addErrback((it) => it).addBoth((it) => it).addCallback(note("no"))
    .addErrback((it) => [it]).addCallback(note("yes"));
  assert.deepEqual(seen, [["yes", [error]]]);
  // A callback may well have an error as its value.
  succeed(1).addCallback(() => error).addCallback(note("value")).addErrback(note("no"));
  assert.deepEqual(seen[1], ["value", error]);
  // What is no object has no identity.
  fail("text").addErrback(() => "text").addCallback(note("text"));
  assert.deepEqual(seen[2], ["text", "text"]);
  assert.equal(seen.length, 3);
});

test("addCallbacks has one of two functions called", () => {
  const { seen, note } = notes();
  const boom = () => {
    throw new Error("boom");
  };
  succeed(1).addCallbacks(note("a", 2), note("no")).addCallbacks(boom, note("not mine")).addCallbacks(note("no"), note("b", 3))
    .addCallbacks(note("c"));
  assert.deepEqual(seen.map(([name]) => name), ["a", "b", "c"]);
  fail(new Error("x")).addCallbacks(note("skipped")).addErrback(note("d"));
  assert.equal(seen[3][0], "d");
});

test("more arguments come after the result", () => {
  const { seen } = notes();
  succeed(1).addCallback((...args) => seen.push(args), 2, 3).addCallback(() => {
    throw 4;
  }).addErrback((...args) => seen.push(args), 5).addBoth((...args) => seen.push(args), 6, 7);
  assert.deepEqual(seen, [[1, 2, 3], [4, 5], [2, 6, 7]]);
});

test("many callbacks, more than go over at once, before and after it fires", () => {
  for (const count of [15, 16, 17, 18, 100, 1000]) {
    const d = new Deferred();
    const seen = [];
    for (let i = 0; i < count; i++) d.addCallback((value) => (seen.push(i), value + 1)).addErrback(() => seen.push("no"));
    d.callback(0);
    for (let i = 0; i < 3; i++) d.addCallback((value) => value + 1);
    d.addCallback((value) => assert.equal(value, count + 3));
    assert.deepEqual(seen, Array.from({ length: count }, (_, i) => i));
  }
});

test("callbacks added by a callback run after it, on the way", () => {
  const { seen, note } = notes();
  const d = new Deferred();
  d.addCallback((value) => {
    d.addCallback(note("added", "from added"));
    seen.push("first");
    return value + 1;
  });
  d.callback(1);
  assert.deepEqual(seen, ["first", ["added", 2]]);
  // So do very many of them.
  let left = 10_000;
  const again = (value) => {
    if (--left > 0) d.addCallback(again);
    return value;
  };
  d.addCallback(again).addCallback(note("last"));
  assert.equal(left, 0);
  assert.deepEqual(seen.at(-1), ["last", "from added"]);
});

test("it fires once", () => {
  for (const late of [(d) => d.callback(2), (d) => d.errback(new Error("late"))]) {
    for (const d of [succeed(1), succeed(1).addCallback((x) => x), succeed(1).addCallback(() => new Deferred())]) {
      assert.throws(() => late(d), AlreadyCalledError);
    }
  }
  const d = new Deferred();
  let again;
  d.addCallback(() => {
    again = assert.throws(() => d.callback(2), { name: "AlreadyCalledError" });
    return "kept";
  }).addCallback((value) => assert.equal(value, "kept"));
  d.callback(1);
  assert.equal(again, undefined);
});

test("what is no function is no callback, and a promise is no value", () => {
  const d = new Deferred();
  assert.throws(() => d.addCallback(1), TypeError);
  assert.throws(() => d.addCallbacks((x) => x, null), TypeError);
  assert.throws(() => new Deferred(1), TypeError);
  assert.throws(() => d.callback(Promise.resolve(1)), TypeError);
  assert.throws(() => d.callback(succeed(1)), TypeError);
  assert.throws(() => succeed({ then() {} }), TypeError);
  assert.equal(d.called, false);
});

test("a Deferred that a callback returns is waited for, and its result taken", async () => {
  const { seen, note } = notes();
  const inner = new Deferred();
  const outer = new Deferred();
  outer.addCallback(() => inner).addCallback(note("outer", 3));
  outer.callback(1);
  assert.deepEqual(seen, []);
  assert.equal(outer.called, true);
  inner.addCallback(note("inner", "nobody's"));
  inner.callback(2);
  assert.deepEqual(seen, [["outer", 2], ["inner", undefined]]);
  // One that has fired, with callbacks and without, is taken at once.
  outer.addCallback(() => succeed(4)).addCallback(note("b")).addCallback(() => succeed(5).addCallback((x) => x + 1)).addCallback(note("c"));
  assert.deepEqual(seen.slice(2), [["b", 4], ["c", 6]]);
  const failed = fail(new Error("no"));
  outer.addCallback(() => failed).addErrback(note("d"));
  assert.equal(seen[4][1].message, "no");
  assert.equal(await failed, undefined);
});

test("one that is running gives what it has so far", () => {
  const { seen, note } = notes();
  const one = new Deferred();
  one.addCallback((value) => {
    succeed("x").addCallback(() => one).addCallback(note("stolen"));
    return value + 1;
  }).addCallback(note("goes on"));
  one.callback(1);
  assert.deepEqual(seen, [["stolen", 1], ["goes on", 2]]);
});

test("several wait for one another, and each gets the result", () => {
  const { seen, note } = notes();
  const last = new Deferred();
  let first = last;
  for (let i = 0; i < 5; i++) {
    const inner = first;
    first = succeed(i).addCallback(() => inner).addCallback((value) => value + 1);
  }
  first.addCallback(note("first"));
  last.callback(0);
  assert.deepEqual(seen, [["first", 5]]);
});

test("one that returns itself fails, instead of waiting for itself", async () => {
  const d = new Deferred();
  d.addCallback(() => d);
  d.callback(1);
  assert.match((await failure(d)).message, /wait for itself/);
  // Two that wait for one another do so, and cannot be cancelled.
  const [one, two] = [new Deferred(), new Deferred()];
  one.addCallback(() => two);
  two.addCallback(() => one);
  one.callback(1);
  two.callback(1);
  one.cancel();
});

test("a promise that a callback returns is waited for, whoever's promise it is", async (t) => {
  assert.equal(await succeed(1).addCallback(async (value) => value + 1).addCallback((value) => value * 2), 4);
  assert.equal((await failure(succeed(1).addCallback(() => Promise.reject(new Error("no"))))).message, "no");
  const thenable = { then: (resolve) => resolve(Promise.resolve("twice")) };
  assert.equal(await succeed(1).addCallback(() => thenable), "twice");
  const bad = Object.defineProperty({}, "then", {
    get() {
      throw new Error("a bad thenable");
    },
  });
  assert.equal((await failure(succeed(1).addCallback(() => bad))).message, "a bad thenable");
  class Far extends Referenceable {
    async double(value) {
      return (await value) * 2;
    }
    later(value) {
      return succeed(value).addCallback(async (value) => value + 1);
    }
  }
  const { remote } = await pair(t, new Far());
  assert.equal(await succeed(4).addCallback((value) => remote.double(value)).addCallback((value) => value + 1), 9);
  // They travel, too: as a result and as an argument.
  assert.equal(await remote.later(1), 2);
  assert.equal(await remote.double(succeed(1).addCallback(async () => 5)), 10);
});

test("await gives the result as it is by then, and leaves it", async () => {
  const d = succeed(1);
  assert.deepEqual([await d, await d, await d.toPromise()], [1, 1, 1]);
  const later = new Deferred();
  const seen = [later.toPromise(), later.toPromise(), later.then((value) => value + 1)];
  later.addCallback((value) => value * 10);
  seen.push(Promise.resolve(later));
  setTimeout(() => later.callback(2), 1);
  assert.deepEqual(await Promise.all(seen), [2, 2, 3, 20]);
  assert.equal(await later, 20);
  const failed = fail(new Error("no"));
  assert.equal((await failure(failed)).message, "no");
  assert.equal((await failure(failed)).message, "no");
  assert.equal(await failed.then(undefined, (error) => error.message), "no");
  assert.equal(await failed.addErrback(() => 3), 3);
});

test("fromPromise and toPromise", async () => {
  assert.equal(await Deferred.fromPromise(sleep(1).then(() => 5)).addCallback((value) => value + 1), 6);
  assert.equal((await failure(Deferred.fromPromise(Promise.reject(new Error("no"))))).message, "no");
  const controller = new AbortController();
  const work = new Promise((resolve, reject) => controller.signal.addEventListener("abort", () => reject(controller.signal.reason)));
  const d = Deferred.fromPromise(work, controller);
  d.cancel();
  assert.ok(controller.signal.aborted);
  assert.ok((await failure(d)) instanceof CancelledError);
  const native = new Deferred().addCallback((x) => x).toPromise();
  assert.ok(native instanceof Promise);
  // Cancelled without a controller, what the promise gives is ignored.
  const ignored = Deferred.fromPromise(sleep(1));
  ignored.cancel();
  assert.ok((await failure(ignored)) instanceof CancelledError);
  await sleep(3);
});

test("cancelling asks the canceller, which may fire it", async () => {
  const asked = [];
  const d = new Deferred((it) => asked.push(it));
  d.cancel();
  d.cancel();
  assert.deepEqual(asked, [d]);
  assert.ok((await failure(d)) instanceof CancelledError);
  assert.throws(() => d.callback(1), AlreadyCalledError);
  const kind = new Deferred((it) => it.callback("so far"));
  kind.cancel();
  assert.equal(await kind, "so far");
  const fired = new Deferred(() => assert.fail("asked"));
  fired.callback(1);
  fired.cancel();
  assert.equal(await fired, 1);
});

test("cancelled without a canceller, one late result is let pass", async () => {
  for (const late of [(d) => d.callback(1), (d) => d.errback(new Error("late"))]) {
    const d = new Deferred();
    d.cancel();
    late(d);
    assert.throws(() => late(d), AlreadyCalledError);
    assert.ok((await failure(d)) instanceof CancelledError);
  }
});

test("what a canceller throws comes out of cancel, and nothing has happened", async () => {
  let times = 0;
  const d = new Deferred(() => {
    if (++times === 1) throw new Error("not now");
  });
  assert.throws(() => d.cancel(), { message: "not now" });
  assert.equal(d.called, false);
  d.cancel();
  assert.equal(times, 2);
  assert.ok((await failure(d)) instanceof CancelledError);
});

test("cancelling reaches what is waited for, to any depth", async () => {
  const asked = [];
  const last = new Deferred(() => asked.push("last"));
  let first = last;
  for (let i = 0; i < 10_000; i++) {
    const inner = first;
    first = succeed(i).addCallback(() => inner);
  }
  first.cancel();
  assert.deepEqual(asked, ["last"]);
  assert.ok((await failure(first)) instanceof CancelledError);
  // A class may do it in a way of its own.
  class Own extends Deferred {
    cancel() {
      asked.push("own");
      this.callback("its own way");
    }
  }
  const own = new Own();
  const outer = succeed(1).addCallback(() => own);
  outer.cancel();
  assert.equal(await outer, "its own way");
});

test("pause and unpause", () => {
  const { seen, note } = notes();
  const d = new Deferred();
  d.pause();
  d.pause();
  d.addCallback(note("a"));
  d.callback(1);
  d.unpause();
  assert.deepEqual(seen, []);
  d.unpause();
  assert.deepEqual(seen, [["a", 1]]);
  assert.throws(() => d.unpause(), /more often/);
  assert.throws(() => succeed(1).unpause(), /more often/);
  // Waiting is no pause that could be taken back.
  const inner = new Deferred();
  const outer = succeed(1).addCallback(() => inner).addCallback(note("b"));
  assert.throws(() => outer.unpause(), /more often/);
  outer.pause();
  inner.callback(2);
  assert.equal(seen.length, 1);
  outer.unpause();
  assert.deepEqual(seen[1], ["b", 2]);
  // A fired one that is paused holds what is added.
  const fired = succeed(3);
  fired.pause();
  fired.addCallback(note("c"));
  assert.equal(seen.length, 2);
  fired.unpause();
  assert.deepEqual(seen[2], ["c", 3]);
});

test("a timeout cancels, unless the result is in time", async () => {
  const error = await failure(new Deferred().addTimeout(5));
  assert.ok(error instanceof TimeoutError);
  assert.equal(error.ms, 5);
  assert.equal(await new Deferred().addTimeout(5, { onTimeout: (error, ms) => [error.name, ms] }).addCallback(String), "CancelledError,5");
  assert.equal(await new Deferred((d) => d.callback("rescued")).addTimeout(5), "rescued");
  const timers = new Map();
  let last = 0;
  const clock = {
    setTimeout: (f, ms) => (timers.set(++last, [f, ms]), last),
    clearTimeout: (timer) => timers.delete(timer),
  };
  const inTime = new Deferred().addTimeout(1000, { clock });
  assert.equal(timers.get(1)[1], 1000);
  inTime.callback(1);
  assert.equal(timers.size, 0);
  assert.equal(await inTime, 1);
  assert.equal(await succeed(2).addTimeout(1000, { clock }), 2);
  assert.equal(timers.size, 0);
  // Added after it, a slow callback has all the time that it wants.
  const slow = new Deferred();
  const d = new Deferred().addTimeout(1000, { clock }).addCallback(() => slow);
  d.callback(1);
  assert.equal(timers.size, 0);
  // Added before it, it does not.
  const waiting = succeed(1).addCallback(() => new Deferred()).addTimeout(1000, { clock });
  const [[ring]] = timers.values();
  ring();
  assert.ok((await failure(waiting)) instanceof TimeoutError);
  const broken = { setTimeout: () => { throw new Error("no clock"); }, clearTimeout() {} };
  const untimed = new Deferred();
  assert.throws(() => untimed.addTimeout(1, { clock: broken }), { message: "no clock" });
  untimed.addCallback((value) => value + 1).callback(1);
  assert.equal(await untimed, 2);
});

test("maybeDeferred", async () => {
  const inner = new Deferred();
  assert.equal(maybeDeferred(() => inner), inner);
  assert.equal(await maybeDeferred((a, b) => a + b, 1, 2), 3);
  assert.equal(await maybeDeferred(async () => 4), 4);
  assert.equal((await failure(maybeDeferred(() => JSON.parse("{")))).name, "SyntaxError");
});

test("a failure that nobody handles is reported once", async () => {
  const program = new URL("deferred-unhandled.mjs", import.meta.url).pathname;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program]);
  assert.deepEqual(JSON.parse(stdout), [
    "fails", "thrown", "by an outer", "after an await", "rethrown as another", "a canceller's", "cancelled", "the hook's",
  ]);
  assert.match(stderr, /^marotte: a Deferred failed and nobody handled it .*: Error: on the console/);
});

test("what is looked at in passing", () => {
  const d = new Deferred();
  assert.equal(`${d}`, "[Deferred pending]");
  d.addCallback(() => new Deferred());
  d.callback(1);
  assert.equal(`${d}`, "[Deferred waiting]");
  assert.equal(`${succeed(1)}`, "[Deferred fired]");
  assert.deepEqual(Object.keys(d), []);
  assert.equal(JSON.stringify({ d }), '{"d":{}}');
});

test("random ladders come out as a simple model of them", async () => {
  let seed = 1;
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  Deferred.onUnhandledError = () => {};
  for (let round = 0; round < 500; round++) {
    // The model: steps one after the other on a value or an error.
    let model = { value: 0 };
    const d = new Deferred();
    const waiting = [];
    const early = random(3);
    if (early === 0) d.callback(0);
    for (let i = 0; i < 30; i++) {
      const kind = random(3), what = random(6), error = new Error(`${i}`);
      const passes = kind === 2 || (kind === 0) === !model.error;
      const step = (result) => {
        if (what === 0) throw error;
        if (what === 1) return succeed(i);
        if (what === 2) return fail(error);
        if (what === 3) {
          const inner = new Deferred();
          waiting.push(() => inner.callback(i));
          return inner;
        }
        if (what === 4) return result;
        return i;
      };
      if (kind === 0) d.addCallback(step);
      if (kind === 1) d.addErrback(step);
      if (kind === 2) d.addBoth(step);
      if (passes) {
        if (what === 0 || what === 2) model = { error };
        else if (what !== 4) model = { value: i };
      }
      if (random(4) === 0) waiting.shift()?.();
    }
    if (early !== 0) d.callback(0);
    let seen;
    d.addCallbacks((value) => (seen = { value }), (error) => (seen = { error }));
    while (waiting.length > 0) waiting.shift()();
    assert.deepEqual(seen, model);
  }
});
