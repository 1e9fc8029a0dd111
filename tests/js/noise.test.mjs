// What is inside of the WebSocket encrypted, and both ends known by their keys.
import assert from "node:assert/strict";
import { test } from "node:test";
import { DisconnectedError, Referenceable, Tub } from "../../wasm/dist/node.js";
import { WebSocket, WebSocketServer, failure, gc, sleep, until } from "./support.mjs";

class Server extends Referenceable {
  echo(value) {
    return value;
  }
  make() {
    return new Server();
  }
  async back(object) {
    return object.echo("called back");
  }
}

async function pair(t, { server: serverOptions, client: clientOptions } = {}) {
  const [server, client] = [new Tub(serverOptions), new Tub(clientOptions)];
  t.after(() => Promise.all([client.close(), server.close()]));
  await server.listen("noise+ws://127.0.0.1:0");
  const uri = server.registerReference(new Server(), { name: "it" });
  // Not before it is asked for: a tub keeps one connection for a peer, whatever its URIs say.
  return { server, client, uri, get remote() { return client.getReference(uri); } };
}

/** A proxy that sees what passes, and may change what the client says. */
async function tap(t, uri, change = (data) => data) {
  const target = new URL(uri).searchParams.get("url");
  const proxy = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => {
    for (const socket of proxy.clients) socket.terminate();
    proxy.close();
  });
  const seen = [];
  proxy.on("connection", (socket) => {
    socket.pause();
    const inner = new WebSocket(target);
    inner.on("open", () => socket.resume());
    socket.on("message", (data) => {
      seen.push(data);
      inner.send(change(data));
    });
    inner.on("message", (data) => {
      seen.push(data);
      socket.send(data);
    });
    inner.on("close", () => socket.close());
    socket.on("close", () => inner.terminate());
  });
  await new Promise((resolve) => proxy.once("listening", resolve));
  return { seen, uri: uri.replace(/url=.*$/, `url=ws://127.0.0.1:${proxy.address().port}`) };
}

test("calls of every size, in one round trip, and nothing can be read on the way", async (t) => {
  const { client, server, uri } = await pair(t);
  assert.match(uri, /^ocapn:\/\/[a-z2-7]{52}\.noise\/s\/aXQ\?url=ws:\/\/127\.0\.0\.1:\d+$/);
  const { seen, uri: tapped } = await tap(t, uri);
  const remote = client.getReference(tapped);
  assert.equal(await remote.make().make().echo("a secret"), "a secret");
  assert.equal(client.stats().round_trips, 1);
  const big = new Uint8Array(3 << 20).fill(7);
  assert.deepEqual(await remote.echo(big), big);
  assert.deepEqual(await Promise.all(Array.from({ length: 1000 }, (_, i) => remote.echo(i))), [...Array(1000).keys()]);
  assert.equal(await remote.back(new Server()), "called back");
  const wire = Buffer.concat(seen);
  assert.ok(wire.length > 6 << 20);
  for (const word of ["op:deliver", "start-session", "secret", "fetch"]) assert.equal(wire.indexOf(word), -1);
  await until(() => server.stats().answers === 0 && client.stats().questions === 0, gc);
});

test("a peer with another key is not believed", async (t) => {
  const { uri, client } = await pair(t);
  const mallory = await pair(t);
  const theirs = uri.replace(/url=.*$/, new URL(mallory.uri).search.slice(1));
  assert.ok((await failure(client.getReference(theirs).echo(1))) instanceof DisconnectedError);
  await sleep(20);
  assert.equal(mallory.server.stats().messages_received, 0);
  assert.throws(() => client.getReference("ocapn://alice.noise/s/aXQ?url=ws://127.0.0.1:1"), /names no key/);
  assert.throws(() => client.getReference(uri.replace(/\?.*$/, "?host=127.0.0.1&port=1")), /no hint "url"/);
});

test("a byte that is changed on the way ends the connection", async (t) => {
  const { client, uri } = await pair(t);
  let isDamaged = false;
  const { uri: tapped } = await tap(t, uri, (data) => {
    if (isDamaged) data[data.length - 1] ^= 1;
    return data;
  });
  const remote = await client.getReference(tapped);
  assert.equal(await remote.echo(1), 1);
  isDamaged = true;
  assert.ok((await failure(remote.echo(2))) instanceof DisconnectedError);
});

test("who says nothing or nonsense is dropped", async (t) => {
  const { uri, client } = await pair(t, { server: { limits: { handshakeMs: 200 } } });
  const url = new URL(uri).searchParams.get("url");
  for (const said of [undefined, Buffer.alloc(0), Buffer.alloc(70_000, 255), Buffer.from("GET / HTTP/1.1")]) {
    const socket = new WebSocket(url);
    await new Promise((resolve) => socket.once("open", resolve));
    let heard = 0;
    socket.on("message", () => heard++);
    if (said) socket.send(said);
    await new Promise((resolve) => socket.once("close", resolve));
    assert.equal(heard, 0);
  }
  assert.equal(await client.getReference(uri).echo(1), 1);
});

test("a key keeps who a tub is", async (t) => {
  const key = new Uint8Array(32).fill(9);
  const names = [];
  for (let i = 0; i < 2; i++) names.push((await pair(t, { server: { key } })).uri.replace(/\?.*/, ""));
  assert.equal(names[0], names[1]);
  assert.throws(() => new Tub({ key: new Uint8Array(31) }), /32 secret random bytes/);
});

test("a peer that is silent for too long, or calls too often", async (t) => {
  for (const encrypted of [false, true]) {
    const server = new Tub({ limits: { idleMs: 300 } });
    const client = new Tub();
    t.after(() => Promise.all([client.close(), server.close()]));
    await server.listen({ encrypted });
    const remote = await client.getReference(server.registerReference(new Server()));
    for (let i = 0; i < 4; i++) {
      await sleep(100);
      assert.equal(await remote.echo(i), i);
    }
    await sleep(700);
    assert.match((await failure(remote.echo(1))).message, /idle_ms/);
  }
  const { remote, client } = await pair(t, { server: { limits: { maxCallsPerSecond: 20, maxArgumentBytes: 100 } } });
  assert.match((await failure(remote.echo("x".repeat(98)))).message, /max_argument_bytes/);
  assert.equal(await remote.echo(1), 1);
  const results = await Promise.allSettled(Array.from({ length: 50 }, () => remote.echo(1)));
  assert.match(results.at(-1).reason.message, /max_calls_per_second/);
  await client.close();
});

test("times longer than any timer's are waited for, not looked at all the while", async (t) => {
  const warnings = [];
  const note = ({ name }) => warnings.push(name);
  process.on("warning", note);
  t.after(() => process.off("warning", note));
  const limits = { idleMs: 2 ** 40, handshakeMs: 2 ** 40 };
  const { remote } = await pair(t, { server: { limits }, client: { limits } });
  assert.equal(await remote.echo(1), 1);
  await sleep(20);
  assert.equal(await remote.echo(2), 2);
  // Node makes one millisecond of such a time, and says so.
  assert.deepEqual(warnings, []);
});
