// Values cross the wire and come back as they were.
import assert from "node:assert/strict";
import { runInNewContext } from "node:vm";
import { test } from "node:test";
import { Referenceable, RemoteError } from "../../wasm/dist/node.js";
import { failure, pair } from "./support.mjs";

class Echo extends Referenceable {
  echo(value) {
    return value;
  }
  kind(value) {
    return `${typeof value} ${Object.is(value, -0) ? "-0" : value}`;
  }
  all(...args) {
    return args;
  }
  set() {
    return { a: [new Set()] };
  }
}

const same = {
  null: null,
  undefined: undefined,
  booleans: [true, false],
  integers: [0, 1, -1, 127, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 32, -(2 ** 40), Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
  floats: [0.5, -0, 1e300, 5e-324, Infinity, -Infinity, NaN, 2 ** 53, -(2 ** 60)],
  "big integers": [2n ** 53n, -(2n ** 64n), 10n ** 300n, -(10n ** 300n)],
  strings: ["", "a", "é", "日本語", "😀", "\0", "x".repeat(63), "x".repeat(64), "x".repeat(65), "é".repeat(5000), "﻿bom"],
  "long strings": "lorem ".repeat(100_000),
  bytes: [new Uint8Array(0), Uint8Array.of(0, 255, 13, 10)],
  "a mebibyte": new Uint8Array(1 << 20).map((_, i) => i * 7),
  lists: [[], [[]], [1, [2, [3, [4]]]]],
  objects: [{}, { a: 1 }, { z: 1, a: { é: [null] }, "": 2, constructor: 3, toString: 4, 10: 5, 9: 6 }],
  mixed: { list: [1, "two", { three: [3n ** 50n, undefined] }], bytes: Uint8Array.of(1) },
};

test("values of every kind come back as they were", async (t) => {
  const { remote } = await pair(t, new Echo());
  for (const [name, value] of Object.entries(same)) {
    await t.test(name, async () => assert.deepStrictEqual(await remote.echo(value), value));
  }
});

test("arguments stay apart, and missing ones are missing", async (t) => {
  const { remote } = await pair(t, new Echo());
  assert.deepStrictEqual(await remote.all(), []);
  assert.deepStrictEqual(await remote.all(1, undefined, [2]), [1, undefined, [2]]);
});

test("numbers keep their sign, and small big integers become numbers", async (t) => {
  const { remote } = await pair(t, new Echo());
  assert.equal(await remote.kind(-0), "number -0");
  assert.equal(await remote.kind(5n), "number 5");
  assert.equal(await remote.kind(2n ** 53n), "bigint 9007199254740992");
  assert.equal(await remote.kind(-(2n ** 53n) + 1n), "number -9007199254740991");
});

test("a property named __proto__ stays a property", async (t) => {
  const { remote } = await pair(t, new Echo());
  const value = JSON.parse('{"__proto__": {"polluted": true}, "b": 1}');
  const back = await remote.echo(value);
  assert.deepEqual(Object.keys(back).sort(), ["__proto__", "b"]);
  assert.equal(Object.getPrototypeOf(back), Object.prototype);
  assert.equal(back.polluted, undefined);
});

test("an ArrayBuffer and a Buffer arrive as bytes", async (t) => {
  const { remote } = await pair(t, new Echo());
  assert.deepStrictEqual(await remote.echo(Uint8Array.of(1, 2).buffer), Uint8Array.of(1, 2));
  assert.deepStrictEqual(await remote.echo(Buffer.from("hi")), new Uint8Array(Buffer.from("hi")));
});

test("what arrives is the receiver's own", async (t) => {
  const { remote } = await pair(t, new Echo());
  const bytes = await remote.echo(new Uint8Array(100_000));
  await remote.echo(new Uint8Array(100_000).fill(1));
  assert.ok(bytes.every((byte) => byte === 0));
});

test("errors pass by their message", async (t) => {
  const { remote } = await pair(t, new Echo());
  const error = await remote.echo([new RangeError("too far")]);
  assert.ok(error[0] instanceof RemoteError);
  assert.equal(error[0].message, "RangeError: too far");
});

test("objects of another realm and without prototype are plain", async (t) => {
  const { remote } = await pair(t, new Echo());
  assert.deepEqual(await remote.echo(runInNewContext("({ a: [1] })")), { a: [1] });
  assert.deepEqual(await remote.echo(Object.assign(Object.create(null), { b: 2 })), { b: 2 });
});

test("what cannot be passed throws at the call, with the path to it", async (t) => {
  const { remote, client } = await pair(t, new Echo());
  await remote;
  const before = client.stats().messages_sent;
  const cases = [
    [() => remote.echo({ x: [1, 2, 3, new Set()] }), 'args[0]["x"][3]: Set is not passable'],
    [() => remote.all(1, new Map()), "args[1]: Map is not passable"],
    [() => remote.echo(Symbol("s")), "args[0]: symbol is not passable"],
    [() => remote.echo([new Date()]), "args[0][0]: Date is not passable"],
    [() => remote.echo({ "odd key": new (class Thing {})() }), 'args[0]["odd key"]: Thing is not passable'],
    [() => remote.echo(new Float64Array(1)), "args[0]: Float64Array is not passable"],
    [() => remote.echo(/x/), "args[0]: RegExp is not passable"],
    [() => remote.echo(Object.create({})), "args[0]: Object is not passable"],
  ];
  for (const [call, message] of cases) assert.throws(call, { name: "TypeError", message });
  const cycle = {};
  cycle.self = cycle;
  assert.throws(() => remote.echo(cycle), { message: /^args\[0\]\["self"\].*: a value nested more than 60 deep is not passable$/ });
  assert.equal(client.stats().messages_sent, before);
  assert.equal(await remote.echo("still well"), "still well");
});

test("a result that cannot be passed fails the call, with the path to it", async (t) => {
  const { remote } = await pair(t, new Echo());
  const error = await failure(remote.set());
  assert.ok(error instanceof RemoteError);
  assert.equal(error.message, 'TypeError: result["a"][0]: Set is not passable');
});

test("a getter may make a call while its object is being passed", async (t) => {
  const { remote } = await pair(t, new Echo());
  await remote;
  let inner;
  const odd = {
    before: "x".repeat(300),
    get now() {
      inner = remote.echo("y".repeat(5000));
      return 1;
    },
    after: [2],
  };
  assert.deepEqual(await remote.echo(odd), { before: "x".repeat(300), now: 1, after: [2] });
  assert.equal(await inner, "y".repeat(5000));
});

test("memory may grow while values cross", async (t) => {
  const { remote } = await pair(t, new Echo());
  const sizes = [10, 1 << 16, 5 << 20, 100, 20 << 20, 1];
  const sent = sizes.map((size) => remote.echo([new Uint8Array(size).fill(size % 251), size]));
  for (const [i, size] of sizes.entries()) {
    const [bytes, number] = await sent[i];
    assert.equal(number, size);
    assert.equal(bytes.length, size);
    assert.ok(bytes.every((byte) => byte === size % 251));
  }
});
