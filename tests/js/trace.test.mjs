// Who sent what, because of which message.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Referenceable, Tub, sendOnly } from "../../wasm/dist/node.js";

class Warehouse extends Referenceable {
  has() {
    return true;
  }
  note() {}
}

class Shop extends Referenceable {
  constructor(warehouse) {
    super();
    this.warehouse = warehouse;
  }
  buy(what) {
    sendOnly(this.warehouse).note(what);
    return this.warehouse.has(what);
  }
}

/** The arrows: from which slice, to which, each as "tub: name". */
function picture(...traces) {
  const begins = new Map(), ends = [];
  for (const trace of traces) {
    const [meta, ...events] = JSON.parse(trace).traceEvents;
    const slices = events.filter(({ ph }) => ph === "X");
    for (const { ph, id, ts } of events) {
      if (ph !== "s" && ph !== "f") continue;
      // Each end is in a slice, or the picture would not show it.
      const inner = slices.filter((slice) => slice.ts <= ts && ts <= slice.ts + slice.dur).at(-1);
      const turn = `${meta.args.name}: ${inner.name}`;
      if (ph === "f") ends.push([id, turn]);
      else {
        assert.ok(!begins.has(id), "an arrow begins once");
        begins.set(id, turn);
      }
    }
  }
  return ends.map(([id, turn]) => `${begins.get(id)} -> ${turn}`);
}

test("the notes of three tubs make one picture", async (t) => {
  const [stock, shop, client] = [new Tub(), new Tub(), new Tub()];
  t.after(() => Promise.all([client.close(), shop.close(), stock.close()]));
  await Promise.all([stock.listen("ws://127.0.0.1:0"), shop.listen("noise+ws://127.0.0.1:0")]);
  const held = await shop.getReference(stock.registerReference(new Warehouse()));
  const remote = await client.getReference(shop.registerReference(new Shop(held)));
  const ends = [stock.trace("stock"), shop.trace("shop"), client.trace("client")];
  assert.equal(await remote.buy('a "pear"'), true);
  const traces = ends.map((end) => end());
  const arrows = picture(...traces);
  for (const arrow of ["client: send buy -> shop: buy", "shop: buy -> stock: note", "shop: buy -> stock: has"]) {
    assert.ok(arrows.includes(arrow), `${arrow} is not in ${arrows.join("; ")}`);
  }
  await remote.buy("more");
  assert.deepEqual(ends.map((end) => end()), traces);
});
