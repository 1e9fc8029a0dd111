// The Node side of the tests between languages: `node peer.mjs serve ws|noise+ws` prints a URI and serves until it is killed;
// `node peer.mjs call URI` prints a line for each check, and `node peer.mjs chains URI` what chains of up to eight calls
// cost: a line of JSON for each.
import assert from "node:assert/strict";
import { Referenceable, Tub } from "../../../wasm/dist/node.js";

class Service extends Referenceable {
  #depth;
  constructor(depth = 0) {
    super();
    this.#depth = depth;
  }
  next() {
    return new Service(this.#depth + 1);
  }
  depth() {
    return this.#depth;
  }
  echo(value) {
    return value;
  }
  itself() {
    return this;
  }
  fail(message) {
    throw new RangeError(message);
  }
  call(listener, value) {
    return listener.notify(value);
  }
  async sum(one, other) {
    return (await one) + other;
  }
  #kept;
  keep(thing) {
    this.#kept = thing;
    return thing.depth();
  }
  kept() {
    return this.#kept.depth();
  }
}

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

async function call(uri) {
  const tub = new Tub({ profile: process.env.PROFILE });
  const remote = tub.getReference(uri);
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
}

async function chains(uri) {
  const tub = new Tub({ profile: process.env.PROFILE });
  const remote = await tub.getReference(uri);
  for (let length = 1; length <= 8; length++) {
    for (let i = 0; i < 3; i++) {
      const trips = tub.stats().round_trips;
      const begun = performance.now();
      let end = remote;
      for (let k = 1; k < length; k++) end = end.next();
      assert.equal(await end.depth(), length - 1);
      const ms = performance.now() - begun;
      console.log(JSON.stringify({ length, ms, round_trips: tub.stats().round_trips - trips }));
    }
  }
  await tub.close();
}

/** Passes an object of the one to the other, which is to call it without us. */
async function introduce(exporter, receiver) {
  const tub = new Tub({ profile: process.env.PROFILE, introduce: true });
  const thing = await tub.getReference(exporter).next();
  const to = await tub.getReference(receiver);
  assert.equal(await to.keep(thing), 1);
  assert.equal(await to.kept(), 1);
  console.log("calls received", tub.stats().calls_received);
  await tub.close();
}

async function serve(scheme) {
  const tub = new Tub({ profile: process.env.PROFILE });
  await tub.listen(`${scheme}://127.0.0.1:0`);
  console.log(tub.registerReference(new Service()));
}

const [, , command, ...words] = process.argv;
await { call, chains, introduce, serve }[command](...words);
