// Whole conversations between two tubs over a wire that spoils bytes: nothing may break but the connection.
// MAROTTE_FUZZ_ROUNDS=100000 node --test tests/js/fuzz.test.mjs looks longer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Referenceable, Tub } from "../../wasm/dist/node.js";
import { platform } from "../../wasm/dist/platform.js";
import { wasm } from "../../wasm/dist/wasm.js";

class Peer extends Referenceable {
  make() {
    return new Peer();
  }
  echo(value) {
    return value;
  }
  async later(value) {
    return [await value];
  }
  fail(value) {
    throw value;
  }
  call(f) {
    return f(1);
  }
}

let seed = 1;
const random = (below) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % below;

/** A wire in memory; the nth message on it goes through `spoil`. */
function wire(spoil) {
  const ends = [];
  let isOpen = true;
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    for (const { owner } of ends) queueMicrotask(() => owner.lost("the wire was cut"));
  };
  return [0, 1].map((side) => {
    ends[side] = {
      owner: undefined,
      socket: {
        send: (data) => setImmediate(() => isOpen && ends[1 - side].owner.received(spoil(Buffer.from(data)))),
        close: () => setImmediate(close),
        bufferedAmount: 0,
      },
    };
    return ends[side];
  });
}

/** Spoils a message: bytes changed, lost, doubled or moved; text of the protocol in odd places. */
function spoil(data) {
  if (data.length === 0) return data;
  const at = random(data.length);
  const length = random(20);
  switch (random(7)) {
    case 0: data[at] = random(256); return data;
    case 1: data[at] ^= 1 << random(8); return data;
    case 2: return data.subarray(0, at);
    case 3: return Buffer.concat([data.subarray(0, at), data.subarray(at + length)]);
    case 4: return Buffer.concat([data.subarray(0, at + length), data.subarray(at)]);
    case 5: {
      // A digit: mostly a position or a length.
      const digits = [...data.keys()].filter((i) => data[i] >= 48 && data[i] < 58);
      if (digits.length > 0) data[digits[random(digits.length)]] = 48 + random(10);
      return data;
    }
    default: {
      const pieces = ["<11'desc:export0+>", "<11'desc:answer0+>", "<18'desc:import-object1+>", "<19'desc:import-promise2+>",
        "<10'desc:error2\"no>", "[[[[", "{1\"a1+}", "<10'op:deliver<11'desc:export1+>[7'fulfill1+]ff>", "<13'op:gc-exports[1+][9+]>",
        "<13'op:gc-answers[0+]>", "<9'op:listen<11'desc:export0+><18'desc:import-object3+>>", "<8'op:abort1\"x>", "&", "D12345678"];
      const piece = Buffer.from(pieces[random(pieces.length)]);
      return Buffer.concat([data.subarray(0, at), piece, data.subarray(random(2) ? at : Math.min(data.length, at + piece.length))]);
    }
  }
}

test("a wire that spoils messages breaks connections, nothing else", async () => {
  const rounds = Number(process.env.MAROTTE_FUZZ_ROUNDS ?? 500);
  const { connect, listen } = platform;
  let accept;
  let chance = 3;
  platform.listen = async (_options, acceptor) => {
    accept = acceptor;
    return { port: 0, url: "ws://memory", close: async () => {} };
  };
  platform.connect = (_url, owner) => {
    const [here, there] = wire((data) => (chance && random(chance) === 0 ? spoil(data) : data));
    here.owner = owner;
    setImmediate(() => {
      there.owner = accept(there.socket, "memory");
      there.owner.opened();
      owner.opened();
    });
    return here.socket;
  };
  const rejected = [];
  const listener = (error) => rejected.push(error);
  process.on("unhandledRejection", listener);
  const { error: log } = console;
  console.error = (_, error) => rejected.push(error);
  try {
    const server = new Tub({ limits: { handshakeMs: 50 } });
    await server.listen();
    const uri = server.registerReference(new Peer(), { name: "it" });
    let fine = 0;
    for (let round = 0; round < rounds; round++) {
      chance = [2, 5, 20][round % 3];
      const client = new Tub();
      const remote = client.getReference(uri);
      const calls = [
        remote.make().make().echo([1, { a: -1n, b: ["é", null, 2n ** 70n] }]),
        remote.later(remote.make()),
        remote.later(new Promise((resolve) => setImmediate(resolve, new Peer()))),
        remote.fail(new Error("x")),
        remote.fail([new Peer()]),
        remote.call((x) => x + 1),
        remote.echo(new Uint8Array(300)),
        remote.make().call(remote.make()),
      ];
      const settled = Promise.allSettled(calls);
      for (let i = 0; i < 12; i++) await new Promise(setImmediate);
      client.close();
      fine += (await settled).filter(({ status }) => status === "fulfilled").length;
    }
    assert.ok(fine > 0, "some calls get through");
    chance = 0;
    const client = new Tub();
    assert.equal(await client.getReference(uri).echo("still well"), "still well");
    client.close();
    assert.deepEqual(rejected.filter((error) => error instanceof WebAssembly.RuntimeError), []);
    assert.ok(wasm.memory.buffer.byteLength < 64 << 20);
    await server.close();
  } finally {
    Object.assign(platform, { connect, listen });
    console.error = log;
    process.off("unhandledRejection", listener);
  }
});
