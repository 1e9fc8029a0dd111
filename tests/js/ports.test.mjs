// Tubs that share their listeners, and the ways that lead to them.
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DisconnectedError, Referenceable, Tub } from "../../wasm/dist/node.js";
import { WebSocket, failure, gc, sleep, until } from "./support.mjs";

class Echo extends Referenceable {
  echo(value) {
    return value;
  }
}

function tubs(t, count, options) {
  const all = Array.from({ length: count }, () => new Tub(options));
  t.after(() => Promise.all(all.map((tub) => tub.close())));
  return all;
}

const designator = (uri) => /^ocapn:\/\/([^.]+)\./.exec(uri)[1];
const hints = (uri, text) => uri.replace(/\?.*$/, `?${text}`);

/** A port where connections are made, and nobody ever says a word. */
async function silent(t) {
  const sockets = new Set();
  const server = createServer((socket) => sockets.add(socket.on("error", () => {})));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server.address().port;
}

test("tubs on one listener are told apart by key", async (t) => {
  const [one, client, stranger] = tubs(t, 3);
  await one.listen("noise+ws://127.0.0.1:0");
  const other = one.makeTub();
  const uris = [one, other].map((tub) => tub.registerReference(new Echo(), "it"));
  assert.notEqual(designator(uris[0]), designator(uris[1]));
  assert.equal(uris[0].split("?")[1], uris[1].split("?")[1]);
  const refs = uris.map((uri) => client.getReference(uri));
  assert.deepEqual(await Promise.all(refs.map((ref, n) => ref.echo(n))), [0, 1]);
  assert.deepEqual([one, other].map((tub) => tub.stats().calls_received), [2, 2]);

  // Each sees its own objects only.
  const secret = one.registerReference(new Echo());
  const elsewhere = secret.replace(designator(uris[0]), designator(uris[1]));
  assert.match((await failure(client.getReference(elsewhere).echo(1))).message, /KeyError/);
  assert.equal(await client.getReference(secret).echo(2), 2);

  // Nobody whose key is not here is answered.
  const unknown = uris[0].replace(designator(uris[0]), stranger.designator);
  assert.ok((await failure(client.getReference(unknown).echo(1))) instanceof DisconnectedError);

  // One ends, and what was its own.
  await other.close();
  assert.ok((await failure(refs[1].echo(1))) instanceof DisconnectedError);
  assert.ok((await failure(client.getReference(uris[1]).echo(1))) instanceof DisconnectedError);
  assert.equal(await refs[0].echo(3), 3);
});

test("closing the first tub leaves those that were made of it", async (t) => {
  const [first, client] = tubs(t, 2);
  const { port } = await first.listen("noise+ws://127.0.0.1:0");
  const second = first.makeTub();
  const ref = client.getReference(second.registerReference(new Echo()));
  assert.equal(await ref.echo(1), 1);
  await first.close();
  assert.equal(await ref.echo(2), 2);
  assert.throws(() => first.makeTub(), /closed/);
  const [late] = tubs(t, 1);
  assert.equal(await late.getReference(second.registerReference(new Echo())).echo(3), 3);
  await second.close();
  // The last one takes the port along.
  const again = createServer();
  await new Promise((resolve, reject) => again.once("error", reject).listen(port, "127.0.0.1", resolve));
  again.close();
});

test("a listener that is opened later is everyone's unless it is plain; one URI has them all", async (t) => {
  const [first, client] = tubs(t, 2);
  const made = first.makeTub();
  t.after(() => made.close());
  await first.listen("ws://127.0.0.1:0");
  assert.throws(() => made.registerReference(new Echo()), /listens/);
  const listener = await made.listen("noise+ws://127.0.0.1:0");
  await made.listen("noise+ws://127.0.0.1:0");
  const uri = made.registerReference(new Echo());
  assert.match(uri, /\.noise\/s\/[\w-]+\?url=ws:\/\/127.0.0.1:\d+&url.2=ws:\/\/127.0.0.1:\d+$/);
  await listener.close();
  // The second way is left.
  assert.equal(await client.getReference(uri).echo(1), 1);
  assert.doesNotMatch(made.registerReference(new Echo()), /url.2/);
  assert.match(first.registerReference(new Echo()), /\.websocket\//);
});

for (const wrong of ["refused", "silent", "another key", "plain"]) {
  test(`a way that leads elsewhere is passed by: ${wrong}`, async (t) => {
    const [server, mallory, client] = tubs(t, 3);
    const { url } = await server.listen("noise+ws://127.0.0.1:0");
    const bad = {
      refused: () => "ws://127.0.0.1:1",
      silent: async () => `ws://127.0.0.1:${await silent(t)}`,
      "another key": async () => (await mallory.listen("noise+ws://127.0.0.1:0")).url,
      plain: async () => (await mallory.listen("ws://127.0.0.1:0")).url,
    }[wrong];
    const uri = hints(server.registerReference(new Echo()), `url=${await bad()}&url.2=${url}`);
    assert.equal(await client.getReference(uri).echo(1), 1);
    // To plain text the first words of the handshake are a message, and a bad one.
    assert.ok(mallory.stats().calls_received === 0);
  });
}

test("when no way leads there each is named with its reason", async (t) => {
  const [server, mallory, client] = tubs(t, 3);
  await server.listen("noise+ws://127.0.0.1:0");
  const { url } = await mallory.listen("noise+ws://127.0.0.1:0");
  const uri = hints(server.registerReference(new Echo()), `url=${url}&url.2=ws://127.0.0.1:1`);
  const error = await failure(client.getReference(uri).echo(1));
  assert.ok(error instanceof DisconnectedError);
  assert.match(error.message, /127\.0\.0\.1:1: connect ECONNREFUSED/);
  assert.ok(error.message.includes(`${url}: the peer closed the WebSocket`), error.message);
});

test("closing a tub that is looking for a way breaks what waits for it", async (t) => {
  const [server, client] = tubs(t, 2);
  await server.listen("noise+ws://127.0.0.1:0");
  const uri = hints(server.registerReference(new Echo()), `url=ws://127.0.0.1:${await silent(t)}`);
  const call = failure(client.getReference(uri).echo(1));
  await client.close();
  assert.ok((await call) instanceof DisconnectedError);
});

test("an object is handed off between encrypted tubs; closing its tub breaks it for all", async (t) => {
  const [shop, alice, bob] = tubs(t, 3, { introduce: true });
  await shop.listen("noise+ws://127.0.0.1:0");
  await bob.listen("noise+ws://127.0.0.1:0");
  const cart = shop.makeTub();
  const kept = [];
  class Friend extends Referenceable {
    take(...things) {
      kept.push(...things);
    }
  }
  const held = await alice.getReference(cart.registerReference(new Echo()));
  const safe = await alice.getReference(shop.registerReference(new Echo()));
  await alice.getReference(bob.registerReference(new Friend())).take(held, safe);
  const [given, spared] = kept;
  assert.deepEqual([await given.echo(1), await spared.echo(2)], [1, 2]);
  // Bob calls it without Alice.
  const before = alice.stats().messages_received;
  await given.echo(1);
  assert.equal(alice.stats().messages_received, before);
  await cart.close();
  for (const ref of [held, given]) assert.ok((await failure(ref.echo(1))) instanceof DisconnectedError);
  assert.deepEqual([await safe.echo(3), await spared.echo(4)], [3, 4]);
});

test("a connection that the peer has made is used for its URIs, if its key was shown", async (t) => {
  const [server, client] = tubs(t, 2);
  await server.listen("noise+ws://127.0.0.1:0");
  await client.listen("noise+ws://127.0.0.1:0");
  const uri = client.registerReference(new Echo());
  class Caller extends Referenceable {
    call() {
      return server.getReference(uri).echo("back");
    }
  }
  assert.equal(await client.getReference(server.registerReference(new Caller())).call(), "back");
  assert.equal(server.stats().messages_sent, client.stats().messages_received);
  assert.equal(server.connections.size, 1);
});

test("a thousand tubs on one listener", async (t) => {
  const [first, client] = tubs(t, 2);
  await first.listen("noise+ws://127.0.0.1:0");
  const made = Array.from({ length: 1000 }, () => first.makeTub());
  const uris = made.map((tub) => tub.registerReference(new Echo()));
  const some = Array.from({ length: 25 }, (_, n) => n * 40);
  assert.deepEqual(await Promise.all(some.map((n) => client.getReference(uris[n]).echo(n))), some);
  for (const tub of made) await tub.close();
});

// URIs that stay, and connections that are kept.

function serve(folder, url = "noise+ws://127.0.0.1:0") {
  const tub = new Tub({ key: new Uint8Array(32).fill(7) });
  return tub.listen(url).then((listener) => ({
    tub,
    listener,
    uri: tub.registerReference(new Echo(), { uriFile: join(folder, "echo.uri") }),
  }));
}

async function folder(t) {
  const path = await mkdtemp(join(tmpdir(), "marotte-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

test("a URI stays when its program starts again", async (t) => {
  const path = await folder(t);
  const file = join(path, "echo.uri");
  const first = await serve(path);
  await first.tub.close();
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(readFileSync(file, "utf8"), `${first.uri}\n`);
  const again = await serve(path, `noise+ws://127.0.0.1:${first.listener.port}`);
  const [client, stranger] = tubs(t, 2);
  t.after(() => again.tub.close());
  assert.equal(again.uri, first.uri);
  assert.equal(await client.getReference(first.uri).echo(1), 1);
  assert.throws(() => again.tub.registerReference(new Echo(), { name: "x", uriFile: file }), /leave out/);
  await stranger.listen("noise+ws://127.0.0.1:0");
  assert.throws(() => stranger.registerReference(new Echo(), { uriFile: file }), /another tub's/);
  assert.throws(() => stranger.registerReference(new Echo(), { uriFile: join(path, "no", "x") }), { code: "ENOENT" });
  assert.equal(readFileSync(file, "utf8"), `${first.uri}\n`);
});

test("a connection is kept while its server comes and goes", async (t) => {
  const path = await folder(t);
  let server = await serve(path);
  const [client] = tubs(t, 1);
  t.after(() => server.tub.close());
  const seen = [];
  const reconnector = client.connectTo(server.uri, (reference) => seen.push(reference), { initialDelay: 20, maxDelay: 50 });
  assert.equal(reconnector.state, "connecting");
  const got = [];
  const watching = (async () => {
    for await (const reference of reconnector) got.push(await reference.echo(got.length));
  })();
  for (let count = 1; count <= 3; count++) {
    await until(() => got.length === count);
    assert.equal(reconnector.state, "connected");
    assert.equal(reconnector.reference, seen[count - 1]);
    await server.tub.close();
    await until(() => reconnector.attempts >= 3);
    assert.match(reconnector.lastFailure.message, /ECONNREFUSED/);
    assert.equal(reconnector.reference, undefined);
    server = await serve(path, `noise+ws://127.0.0.1:${server.listener.port}`);
  }
  await until(() => got.length === 4);
  assert.equal(seen.length, 4);
  const kept = reconnector.reference;
  reconnector.stop();
  await watching;
  assert.equal(await kept.echo(5), 5);
  const other = client.connectTo(server.uri);
  await until(() => other.state === "connected");
  await client.close();
  assert.equal(other.state, "stopped");
  assert.throws(() => client.connectTo(server.uri), /closed/);
});

test("closing does not wait for guests who say nothing, nor for a stranger's request", async (t) => {
  const [tub] = tubs(t, 1);
  const { port } = await tub.listen("noise+ws://127.0.0.1:0");
  const guests = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")].map((guest) => guest.on("error", () => {}));
  const quiet = new WebSocket(`ws://127.0.0.1:${port}`);
  await Promise.all([once(quiet, "open"), ...guests.map((guest) => once(guest, "connect"))]);
  guests[0].write("GET / HTTP/1.1\r\nHost");
  const gone = Promise.all([once(quiet, "close"), ...guests.map((guest) => new Promise((resolve) => guest.resume().on("close", resolve)))]);
  const before = performance.now();
  await tub.close();
  await gone;
  assert.ok(performance.now() - before < 2500);
});

test("a listener that is closed leaves its connections, and does not wait for them", async (t) => {
  const [server, client] = tubs(t, 2);
  const listener = await server.listen("noise+ws://127.0.0.1:0");
  const ref = client.getReference(server.registerReference(new Echo()));
  assert.equal(await ref.echo(1), 1);
  await listener.close();
  assert.equal(await ref.echo(2), 2);
});

test("two tubs with one key are not found in one place", async (t) => {
  const [first, client] = tubs(t, 2);
  await first.listen("noise+ws://127.0.0.1:0");
  const key = new Uint8Array(32).fill(9);
  const one = first.makeTub({ key });
  assert.throws(() => first.makeTub({ key }), /with that key/);
  await one.close();
  const other = first.makeTub({ key });
  await one.close();
  assert.equal(await client.getReference(other.registerReference(new Echo())).echo(1), 1);
  await other.close();
});

test("hints of one reference do not spoil those of another", async (t) => {
  const [server, client] = tubs(t, 2);
  await server.listen("noise+ws://127.0.0.1:0");
  const uri = server.registerReference(new Echo());
  const lured = client.getReference(hints(uri, `url=ws://127.0.0.1:${await silent(t)}`));
  assert.equal(await client.getReference(uri).echo(1), 1);
  assert.equal(await lured.echo(2), 2);
});

test("a closed tub lets go of what leads back to it", async (t) => {
  const [first] = tubs(t, 1);
  await first.listen("noise+ws://127.0.0.1:0");
  async function visit() {
    const object = new Echo();
    object.tub = first.makeTub();
    object.tub.registerReference(object);
    await object.tub.close();
    return new WeakRef(object);
  }
  const seen = await Promise.all(Array.from({ length: 20 }, visit));
  // To look at one keeps it for a while.
  for (let i = 0; i < 20; i++) {
    gc();
    await sleep(20);
  }
  assert.equal(seen.filter((one) => one.deref()).length, 0);
});

test("an async function that fails when it is connected is reported, and ends nothing", async (t) => {
  const [server, client] = tubs(t, 2);
  await server.listen("noise+ws://127.0.0.1:0");
  const uri = server.registerReference(new Echo());
  const errors = t.mock.method(console, "error", () => {});
  const reconnector = client.connectTo(uri, async (ref) => {
    await ref.echo(1);
    throw new Error("mine");
  });
  await until(() => errors.mock.callCount() > 0);
  assert.equal(reconnector.state, "connected");
  reconnector.stop();
});

test("no more than so many connections come from one address", async (t) => {
  const [server] = tubs(t, 1, { limits: { maxConnectionsPerAddress: 2 } });
  const clients = tubs(t, 3);
  await server.listen("noise+ws://127.0.0.1:0");
  const uri = server.registerReference(new Echo());
  const call = (n) => clients[n].getReference(uri).echo(n);
  assert.deepEqual(await Promise.all([call(0), call(1)]), [0, 1]);
  assert.ok((await failure(call(2))) instanceof DisconnectedError);
  await clients[0].close();
  let value;
  await until(() => value === 2, () => call(2).then((it) => (value = it), () => {}));
});
