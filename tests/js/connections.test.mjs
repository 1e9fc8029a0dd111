// Connections end, and peers misbehave: every promise gets its reason, and others are served as before.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { DisconnectedError, Referenceable, Tub } from "../../wasm/dist/node.js";
import { WebSocket, WebSocketServer, failure, gc, pair, sleep, until } from "./support.mjs";

class Server extends Referenceable {
  calls = 0;
  forever() {
    this.calls++;
    return new Promise(() => {});
  }
  echo(value) {
    return value;
  }
  keep(it) {
    this.kept = it;
  }
  make() {
    return new Server();
  }
}

/** A WebSocket server that does what it likes. */
async function rogue(t, behave) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  server.on("connection", behave);
  await once(server, "listening");
  const { port } = server.address();
  return { port, uri: `ocapn://rogue.websocket/s/YQ?url=ws://127.0.0.1:${port}` };
}

function clientTub(t, options) {
  const tub = new Tub(options);
  t.after(() => tub.close());
  return tub;
}

test("a peer that hangs up breaks what waits for it, with the reason", async (t) => {
  const served = new Server();
  const { server, remote, client } = await pair(t, served);
  const reference = await remote;
  const waiting = [remote.forever(), remote.forever().anything(), reference.forever()];
  await until(() => served.calls === 3);
  const ends = Promise.all(waiting.map(failure));
  await server.close();
  for (const error of await ends) {
    assert.ok(error instanceof DisconnectedError);
    assert.match(error.message, /^the connection to ocapn:\/\/\w{52}\.websocket.* is gone: the peer ended the session: the tub was closed$/);
  }
  const later = await failure(reference.echo(1));
  assert.ok(later instanceof DisconnectedError);
  assert.match(later.message, /the connection to \S+ is gone/);
  assert.equal(client.stats().questions, 0);
});

test("a socket that is cut breaks what waits for it", async (t) => {
  const served = new Server();
  const { client, uri } = await pair(t, served);
  const { port, uri: throughProxy } = await rogue(t, (socket) => {
    const inner = new WebSocket(new URL(uri).searchParams.get("url"));
    inner.on("open", () => socket.on("message", (data) => inner.send(data)));
    inner.on("message", (data) => socket.send(data));
    socket.on("close", () => inner.terminate());
    setTimeout(() => socket.terminate(), 200);
    socket.pause();
    inner.on("open", () => socket.resume());
  });
  assert.ok(port);
  const cut = client.getReference(throughProxy.replace("/s/YQ", "/s/aXQ"));
  assert.equal(await cut.echo(1), 1);
  const error = await failure(cut.forever());
  assert.ok(error instanceof DisconnectedError);
  assert.match(error.message, /is gone: the peer closed the WebSocket \(code 1006\)$/);
});

test("after the end a new reference makes a new connection", async (t) => {
  const { client, uri } = await pair(t, new Server());
  const { uri: broken } = await rogue(t, (socket) => socket.close());
  await failure(client.getReference(broken));
  await failure(client.getReference(broken));
  assert.equal(await client.getReference(uri).echo("fine"), "fine");
});

test("closing the tub breaks its own calls", async (t) => {
  const { client, remote } = await pair(t, new Server());
  await remote;
  const waiting = remote.forever();
  const closed = failure(waiting);
  client.close();
  const error = await closed;
  assert.ok(error instanceof DisconnectedError);
  assert.match(error.message, /the session was closed here: the tub was closed/);
  // What is still held says so, too, at every use.
  for (const promise of [remote.echo(1), remote.make().echo(2), (await remote).echo(Promise.resolve(3)), waiting.echo(4)]) {
    assert.ok((await failure(promise)) instanceof DisconnectedError);
  }
  await client.close();
});

test("tubs that are closed and forgotten are collected", async (t) => {
  const { uri } = await pair(t, new Server());
  let collected = 0;
  const registry = new FinalizationRegistry(() => collected++);
  for (let i = 0; i < 20; i++) {
    const tub = new Tub();
    registry.register(tub, 0);
    await tub.getReference(uri).make();
    await tub.close();
  }
  await until(() => collected >= 18, gc);
  const tub = clientTub(t);
  assert.equal(await tub.getReference(uri).echo(1), 1);
});

test("a peer that is not there is named", async (t) => {
  const tub = clientTub(t);
  const error = await failure(tub.getReference("ocapn://x.websocket/s/YQ?url=ws://127.0.0.1:1").anything());
  assert.ok(error instanceof DisconnectedError);
  assert.match(error.message, /^no connection to ocapn:.*: cannot connect to ws:\/\/127\.0\.0\.1:1: connect ECONNREFUSED/);
  const refused = await failure(tub.getReference("ocapn://y.websocket/s/YQ?url=ws://"));
  assert.ok(refused instanceof DisconnectedError);
});

test("a peer that never says hello is left after the limit", async (t) => {
  const { uri } = await rogue(t, () => {});
  const tub = clientTub(t, { limits: { handshakeMs: 50 } });
  // Nothing else keeps the process alive for a connection's sake.
  const alive = setInterval(() => {}, 10);
  t.after(() => clearInterval(alive));
  const error = await failure(tub.getReference(uri).anything());
  assert.ok(error instanceof DisconnectedError);
  assert.match(error.message, /no op:start-session within 50 ms/);
});

const rubbish = {
  "no Syrup": Buffer.from("GET / HTTP/1.1\r\n\r\n"),
  "an unknown operation": Buffer.from("<7'op:evil>"),
  "a call before the greeting": Buffer.from("<10'op:deliver<11'desc:export0+>[]ff>"),
  "half a message": Buffer.from("<16'op:start-session3\"1.0"),
  "an endless nesting": Buffer.from("[".repeat(100_000)),
  "an enormous length": Buffer.from("9999999999:"),
  "a text message": "hello",
  nothing: Buffer.alloc(0),
};

for (const [name, message] of Object.entries(rubbish)) {
  test(`a server that sends ${name} is left, with a reason`, async (t) => {
    const closed = [];
    const { uri } = await rogue(t, (socket) => {
      socket.on("message", (data) => closed.push(data.toString("latin1")));
      socket.send(message);
      if (name === "nothing") socket.close();
    });
    const error = await failure(clientTub(t).getReference(uri).anything());
    assert.ok(error instanceof DisconnectedError, error);
    if (!["a text message", "nothing"].includes(name)) {
      assert.match(error.message, /the peer broke the protocol/);
      await until(() => closed.some((text) => text.startsWith("<8'op:abort")));
    }
  });

  test(`a client that sends ${name} is cut off, and others are served`, async (t) => {
    const { remote, listener } = await pair(t, new Server());
    await remote;
    const bad = new WebSocket(listener.url);
    const received = [];
    bad.on("message", (data) => received.push(data.toString("latin1")));
    await once(bad, "open");
    bad.send(message);
    if (name !== "nothing") await once(bad, "close");
    else bad.terminate();
    assert.equal(await remote.echo("well"), "well");
  });
}

test("messages of every length cut short end the session and nothing else", async (t) => {
  const { remote, listener } = await pair(t, new Server());
  await remote;
  // A true greeting, recorded; it can be played to another session, whose keys do not matter to it.
  const other = clientTub(t);
  let greeting;
  const { uri } = await rogue(t, (socket) => socket.once("message", (data) => (greeting = data)));
  const lost = failure(other.getReference(uri));
  await until(() => greeting);
  other.close();
  await lost;
  for (const length of [1, 10, 100, greeting.length - 1, greeting.length]) {
    const bad = new WebSocket(listener.url);
    await once(bad, "open");
    bad.send(greeting.subarray(0, length));
    if (length < greeting.length) await once(bad, "close");
    else {
      // Well greeted; now for something that was never given out.
      const received = [];
      bad.on("message", (data) => received.push(data.toString("latin1")));
      bad.send(Buffer.from("<10'op:deliver<11'desc:export77+>[4'evil]ff>"));
      await once(bad, "close");
      assert.match(received.join(""), /op:abort.*nothing is exported at position 77/s);
    }
  }
  assert.equal(await remote.echo("well"), "well");
});

test("random changes to true messages never break the module", async (t) => {
  const { remote, uri } = await pair(t, new Server());
  await remote;
  let seed = 12345;
  const random = (below) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % below;
  const target = new URL(uri).searchParams.get("url");
  // A peer that spoils one byte in one message each way.
  for (let round = 0; round < 60; round++) {
    const { uri: spoilt } = await rogue(t, (socket) => {
      const inner = new WebSocket(target);
      const early = [];
      const spoil = (data) => {
        if (random(3) === 0 && data.length > 0) data[random(data.length)] = random(256);
        return data;
      };
      socket.on("message", (data) => (inner.readyState === 1 ? inner.send(spoil(data)) : early.push(data)));
      inner.on("open", () => early.forEach((data) => inner.send(spoil(data))));
      inner.on("message", (data) => socket.send(spoil(data)));
      socket.on("close", () => inner.terminate());
      inner.on("close", () => socket.terminate());
      inner.on("error", () => {});
    });
    const tub = new Tub({ limits: { handshakeMs: 200 } });
    const bad = tub.getReference(spoilt.replace("/s/YQ", "/s/aXQ"));
    const calls = [bad.echo([1, { a: "b" }, null]), bad.make().echo(new Server()), bad.echo(bad.make())];
    await Promise.race([Promise.allSettled(calls), sleep(150)]);
    const ended = Promise.allSettled(calls);
    await tub.close();
    await ended;
  }
  assert.equal(await remote.echo("well"), "well");
});

test("a message over the limit fails at the call; from a peer it ends the session", async (t) => {
  const { remote } = await pair(t, new Server(), { client: { limits: { maxMessageBytes: 1000 } } });
  assert.throws(() => remote.echo(new Uint8Array(2000)), { message: "args[0]: a value of more than 1000 bytes is not passable" });
  assert.throws(() => remote.echo(Array(300).fill("abc")), { message: /the arguments take more than 1000 bytes/ });
  assert.equal(await remote.echo("small"), "small");
  const strict = await pair(t, new Server(), { server: { limits: { maxMessageBytes: 1000 } } });
  const error = await failure(strict.remote.echo("x".repeat(2000)));
  assert.ok(error instanceof DisconnectedError);
  assert.match(error.message, /max_message_bytes/);
});

test("a flood of calls is written in few messages and lets the event loop turn", async (t) => {
  const { remote, client } = await pair(t, new Server());
  await remote;
  const before = client.stats().writes;
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const results = await Promise.all(Array.from({ length: 20_000 }, (_, i) => remote.echo(i)));
  clearInterval(timer);
  assert.deepEqual(results, Array.from({ length: 20_000 }, (_, i) => i));
  assert.ok(client.stats().writes - before < 20);
  assert.ok(ticks > 0);
});

test("64 callers in flight take at most a tenth of a write per call", async (t) => {
  const { remote, client, server } = await pair(t, new Server());
  await remote;
  const before = [client.stats().writes, server.stats().writes];
  await Promise.all(Array.from({ length: 64 }, async () => {
    for (let i = 0; i < 50; i++) await remote.echo(i);
  }));
  assert.ok(client.stats().writes - before[0] <= 320, `${client.stats().writes - before[0]} writes`);
  assert.ok(server.stats().writes - before[1] <= 320);
});

test("another profile writes one message at a time", async (t) => {
  const options = { profile: "endo-1.1" };
  const { uri } = await pair(t, new Server(), { client: options, server: options });
  const client = clientTub(t, options);
  const target = new URL(uri).searchParams.get("url");
  let written = 0;
  const { uri: counting } = await rogue(t, (socket) => {
    socket.pause();
    const inner = new WebSocket(target);
    inner.on("open", () => socket.resume());
    socket.on("message", (data) => {
      written++;
      inner.send(data);
    });
    inner.on("message", (data) => socket.send(data));
    socket.on("close", () => inner.terminate());
  });
  const remote = client.getReference(counting.replace("/s/YQ", "/s/aXQ"));
  assert.deepEqual(await Promise.all([remote.echo(1), remote.make().echo(2), remote.echo(remote.echo(3))]), [1, 2, 3]);
  // The last releases may be under way.
  await until(() => written === client.stats().messages_sent);
});

test("what listen and registerReference are given is taken as it is, or refused", async () => {
  const tub = new Tub();
  await assert.rejects(tub.listen("tcp://127.0.0.1:0"), /must be noise\+ws:\/\/host:port or ws:\/\/host:port/);
  const listener = await tub.listen("ws://127.0.0.1:0");
  assert.match(listener.url, /^ws:\/\/127\.0\.0\.1:\d+$/);
  class Thing extends Referenceable {}
  assert.equal(tub.registerReference(new Thing(), "thing"), tub.registerReference(new Thing(), { name: "thing" }));
  assert.throws(() => tub.registerReference(Thing), /Thing is a class/);
  await tub.close();
});
