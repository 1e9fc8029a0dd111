// References: identity, both directions, what can be called and what cannot, and giving them back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { format, inspect } from "node:util";
import { Referenceable, RemoteError, SturdyRef, Tub } from "../../wasm/dist/node.js";
import { failure, gc, pair, until } from "./support.mjs";

class Counter extends Referenceable {
  count = 0;
  field = () => "a field";
  increment(by = 1) {
    this.count += by;
    return this.count;
  }
  _private() {
    return "private";
  }
  #hidden() {
    return "hidden";
  }
  get getter() {
    return () => this.#hidden();
  }
  static make() {
    return new Counter();
  }
}
class Child extends Counter {
  increment() {
    return super.increment(10);
  }
  extra() {
    return "extra";
  }
}
class Server extends Referenceable {
  counter = new Counter();
  getCounter() {
    return this.counter;
  }
  getChild() {
    return new Child();
  }
  make() {
    return new Counter();
  }
  isCounter(it) {
    return it === this.counter;
  }
  echo(it) {
    return it;
  }
  keep(it) {
    this.kept = it;
  }
  give() {
    return this.kept;
  }
  async callTwice(callback) {
    return [await callback.increment(), await callback.increment(5)];
  }
  async apply(f, ...args) {
    return f(...args);
  }
  then(f) {
    f("never");
  }
}

test("an object goes by reference, and comes home as itself", async (t) => {
  const { remote } = await pair(t, new Server());
  const counter = await remote.getCounter();
  assert.equal(await counter.increment(), 1);
  assert.equal(await remote.isCounter(counter), true);
  assert.equal(await remote.getCounter(), counter);
  const mine = new Counter();
  assert.equal(await remote.echo(mine), mine);
  assert.deepEqual(await remote.echo([mine, { counter }]), [mine, { counter }]);
});

test("a callback is called by the server", async (t) => {
  const { remote } = await pair(t, new Server());
  const mine = new Counter();
  assert.deepEqual(await remote.callTwice(mine), [1, 6]);
  assert.equal(mine.count, 6);
});

test("functions go by reference, too", async (t) => {
  const { remote } = await pair(t, new Server());
  assert.equal(await remote.apply((a, b) => a + b, 2, 3), 5);
  assert.equal(await remote.apply(async (text) => text.toUpperCase(), "abc"), "ABC");
  const double = (x) => 2 * x;
  assert.equal(await remote.echo(double), double);
  await remote.keep(double);
  assert.equal(await remote.give()(21), 42, "a promise for a function is called without a name");
});

test("a registered function is called without a name", async (t) => {
  const { client, server } = await pair(t, new Server());
  const uri = server.registerReference((a, b) => a * b);
  const multiply = client.getReference(uri);
  assert.equal(await multiply(6, 7), 42);
  assert.match((await failure(multiply.anything())).message, /^AttributeError: no remote method named "anything"$/);
});

test("only public methods of the class can be called", async (t) => {
  const { remote } = await pair(t, new Server());
  const child = await remote.getChild();
  assert.equal(await child.increment(), 10);
  assert.equal(await child.extra(), "extra");
  for (const name of ["field", "getter", "count", "make", "nothing", "isPrototypeOfX", "counter"]) {
    const error = await failure(child[name]());
    assert.ok(error instanceof RemoteError);
    assert.equal(error.message, `AttributeError: no remote method named ${JSON.stringify(name)}`);
  }
  assert.match((await failure(child())).message, /cannot be called without a method name/);
});

test("names that proxies hide cannot be called either", async (t) => {
  const { remote, client, uri } = await pair(t, new Server());
  // What is sent by its name is sent as it is; the server must refuse by itself.
  const raw = await remote.getCounter();
  for (const name of ["constructor", "__proto__", "hasOwnProperty", "toString", "_private", "valueOf", "__defineGetter__"]) raw.callRemoteOnly(name);
  assert.equal(await client.getReference(uri).getCounter().increment(), 1);
});

test("references are given back once nobody holds them", async (t) => {
  const { remote, client, server } = await pair(t, new Server());
  await remote;
  const base = client.stats().imports;
  for (let i = 0; i < 100; i++) await remote.make();
  assert.ok(client.stats().imports > base);
  await until(() => client.stats().imports <= base && server.stats().exports <= 2, gc);
  // Those that are held stay.
  const counter = await remote.getCounter();
  gc();
  assert.equal(await counter.increment(), 1);
});

test("a hundred thousand pipelined calls leave the tables empty", async (t) => {
  class Maker extends Referenceable {
    self() {
      return this;
    }
    make() {
      return new Counter();
    }
  }
  const { remote, client, server } = await pair(t, new Maker());
  const reference = await remote;
  const base = [client.stats().imports, server.stats().exports];
  await (async () => {
    let last = reference;
    for (let i = 0; i < 50_000; i++) last = last.self();
    for (let i = 0; i < 50_000; i++) reference.make().increment();
    await last.make();
    await reference.make();
  })();
  assert.ok(client.stats().calls_sent >= 150_000);
  await until(() => {
    const [mine, theirs] = [client.stats(), server.stats()];
    return mine.questions === 0 && theirs.answers === 0 && mine.imports <= base[0] && theirs.exports <= base[1];
  }, gc);
  assert.equal(typeof reference, "function");
});

test("our objects are let go once the peer has let go of them", async (t) => {
  const { remote, client } = await pair(t, new Server());
  let collected = 0;
  const registry = new FinalizationRegistry(() => collected++);
  await (async () => {
    const mine = new Counter();
    registry.register(mine, 0);
    assert.deepEqual(await remote.callTwice(mine), [1, 6]);
  })();
  await until(() => collected === 1, gc);
  assert.equal(client.stats().exports, 0);
});

test("dispose gives a reference back at once", async (t) => {
  const { remote, client, server } = await pair(t, new Server());
  await remote;
  const [imports, exports] = [client.stats().imports, server.stats().exports];
  const counters = [];
  for (let i = 0; i < 10; i++) counters.push(await remote.make());
  const promise = remote.make();
  for (const counter of counters) counter[Symbol.dispose]();
  promise[Symbol.dispose]();
  assert.throws(() => counters[0].increment(), { message: "this reference has been disposed of" });
  assert.throws(() => remote.echo(counters[0]), { message: "this reference has been disposed of" });
  await until(() => client.stats().imports === imports && server.stats().exports === exports);
});

test("a reference of one tub can be used in another", async (t) => {
  const one = await pair(t, new Server());
  const two = await pair(t, new Server());
  const counter = await one.remote.getCounter();
  // The client passes its reference on; calls go through it.
  await two.remote.keep(counter);
  assert.equal(await two.remote.give(), counter);
  assert.deepEqual(await two.remote.callTwice(counter), [1, 6]);
  assert.deepEqual(await two.remote.callTwice(one.remote.getCounter()), [7, 12]);
});

test("an unknown swiss number fails; a registration can be taken back", async (t) => {
  const { client, server, uri } = await pair(t, new Server());
  const unknown = client.getReference(uri.replace(/\/s\/[^?]*/, "/s/bm9uZQ"));
  assert.match((await failure(unknown)).message, /^KeyError: no object is registered/);
  const secret = server.registerReference(new Counter());
  assert.match(secret, /\/s\/[\w-]{43}\?url=ws:\/\/127\.0\.0\.1:\d+$/);
  assert.equal(await client.getReference(secret).increment(), 1);
  assert.equal(server.unregisterReference(secret), true);
  assert.equal(server.unregisterReference(secret), false);
  assert.match((await failure(client.getReference(secret))).message, /^KeyError/);
});

test("a tub finds its own objects without a connection", async (t) => {
  const { server, uri } = await pair(t, new Server());
  assert.equal(await server.getReference(uri).getCounter().increment(), 1);
  assert.equal(server.stats().reads, 0);
});

test("one connection serves all references to a peer", async (t) => {
  const { client, server, uri } = await pair(t, new Server());
  const other = server.registerReference(new Counter());
  await Promise.all([client.getReference(uri).make(), client.getReference(other).increment(), client.getReference(uri).make()]);
  // Four times fetch, and the three calls.
  assert.equal(server.stats().calls_received, 7);
  assert.ok(client.stats().reads <= 4);
});

test("mistakes are told where they are made", async (t) => {
  const { client, server, uri } = await pair(t, new Server());
  assert.throws(() => client.getReference("http://example.org"), { message: /not an ocapn:\/\/ reference/ });
  assert.throws(() => client.getReference("ocapn://x.tcp-testing-only/s/YQ?host=127.0.0.1&port=1"), { message: /no hint "url"/ });
  assert.throws(() => client.getReference("ocapn://x.websocket/s/YQ?url=http://127.0.0.1"), { message: /must begin with ws:\/\// });
  assert.throws(() => client.registerReference(new Counter()), { message: /listen/ });
  assert.throws(() => server.registerReference({}), { message: /Referenceable/ });
  assert.throws(() => new Tub({ profile: "nonsense" }), { message: /profiles: marotte/ });
  assert.throws(() => new Tub({ limits: { maxNonsense: 1 } }), TypeError);
  await client.close();
  assert.throws(() => client.getReference(uri), { message: "the tub is closed" });
});

test("a peer that is introduced calls the object over a connection of its own", async (t) => {
  const [exporter, gifter, receiver] = [new Tub(), new Tub({ introduce: true }), new Tub()];
  t.after(() => Promise.all([exporter, gifter, receiver].map((tub) => tub.close())));
  await Promise.all([exporter.listen(), receiver.listen()]);
  const counter = new Counter();
  const held = [];
  class Keeper extends Referenceable {
    async keep(gift) {
      held.push(await gift);
      return held[0].increment();
    }
  }
  const far = await gifter.getReference(exporter.registerReference(counter));
  const keeper = gifter.getReference(receiver.registerReference(new Keeper()));
  await keeper;
  assert.equal(await far.increment(), 1);
  const before = exporter.stats().calls_received;
  assert.equal(await keeper.keep(far), 2);
  // Without the gifter: it is not passed through.
  await gifter.close();
  assert.equal(await held[0].increment(), 3);
  assert.ok(exporter.stats().calls_received - before >= 3);
});

test("what prints a tub or a reference shows no secret", async (t) => {
  const { server, client, remote } = await pair(t, new Counter());
  await client.listen();
  for (const tub of [server, client]) tub.registerReference(new Counter(), { name: "a-name-to-keep-secret" });
  for (const object of [server, client, await remote]) {
    for (const text of [format("%o", object), inspect(object, { depth: 9, showHidden: true, showProxy: true })]) {
      assert.ok(!text.includes("a-name-to-keep-secret"), text);
    }
  }
});

test("nobody reaches what was revoked, however they came to it", async (t) => {
  class Item extends Referenceable {
    echo(value) {
      return value;
    }
  }
  class Shop extends Referenceable {
    item = new Item();
    getItem() {
      return this.item;
    }
  }
  const shop = new Shop();
  const { remote, client, server } = await pair(t, shop);
  const item = await remote.getItem();
  const uri = server.registerReference(shop.item);
  assert.equal(await client.getReference(uri).echo(1), 1);
  assert.equal(server.revoke(shop.item), true);
  assert.equal(server.revoke(shop.item), false);
  for (const late of [item.echo(1), remote.getItem().echo(1)]) assert.match((await failure(late)).message, /PermissionError: .* revoked/);
  assert.match((await failure(client.getReference(uri).echo(1))).message, /KeyError/);
  assert.equal(shop.item.echo(2), 2);
});

test("a sturdy reference is passed as it is, and shows its secret to those who ask for it", async (t) => {
  class Directory extends Referenceable {
    known = new Map();
    put(name, sturdy) {
      assert.ok(sturdy instanceof SturdyRef);
      this.known.set(name, sturdy);
    }
    find(name) {
      return this.known.get(name);
    }
  }
  const { server, client, remote, uri } = await pair(t, new Directory());
  const secret = server.registerReference(new Counter());
  await remote.put("counter", new SturdyRef(secret));
  const found = await remote.find("counter");
  assert.ok(found instanceof SturdyRef);
  assert.equal(String(found), secret);
  assert.equal(await client.getReference(found).increment(2), 2);
  const swiss = /\/s\/([^?]+)/.exec(secret)[1];
  assert.ok(!inspect(found, { depth: 9, showHidden: true }).includes(swiss));
  assert.throws(() => new SturdyRef("http://example.org"), TypeError);
  assert.equal(server.unregisterReference(found), true);
  assert.ok(uri);
});
