// The Node side of the tests between languages: `node peer.mjs call URI` prints a line for each check.
import assert from "node:assert/strict";
import { Referenceable, Tub } from "../../../wasm/dist/node.js";

class Listener extends Referenceable {
  noted = [];
  notify(value) {
    return this.noted.push(value);
  }
}

const VALUES = [
  null,
  true,
  false,
  0,
  -1,
  2n ** 63n - 1n,
  -(2n ** 127n),
  10n ** 300n,
  -(10n ** 300n),
  0.5,
  Infinity,
  5e-324,
  "",
  "Grüße, 世界 🌍\0",
  new Uint8Array(0),
  Uint8Array.from({ length: 256 }, (_, i) => i),
  [],
  [{ a: null, "": [], Ω: Uint8Array.of(0, 255) }, {}],
];

const checks = {
  async chain(remote, tub) {
    const before = tub.stats().round_trips;
    assert.equal(await remote.itself().itself().echo("end"), "end");
    assert.equal(Number(tub.stats().round_trips - before), 1);
  },
  async values(remote) {
    for (const value of VALUES) assert.deepStrictEqual(await remote.echo(value), value);
  },
  async error(remote) {
    await assert.rejects(async () => await remote.fail("the reason"), /the reason/);
  },
  async callback(remote) {
    const listener = new Listener();
    assert.equal(await remote.call(listener, "a"), 1);
    assert.equal(await remote.call(listener, "b"), 2);
    assert.deepStrictEqual(listener.noted, ["a", "b"]);
  },
  async promise(remote) {
    assert.equal(await remote.sum(remote.echo(40), 2), 42);
  },
};

const tub = new Tub();
const remote = tub.getReference(process.argv[3]);
await remote;
console.log("fetch ok");
for (const [name, check] of Object.entries(checks)) {
  try {
    await check(remote, tub);
    console.log(`${name} ok`);
  } catch (problem) {
    console.log(`${name} ${String(problem.message).replaceAll("\n", " ")}`);
  }
}
await tub.close();
