// Streams between programs: credit, ends, cancelling, lost connections.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FlowStopped, Referenceable, RemoteError, readableOf, sendOnly, send, writableOf } from "../../wasm/dist/node.js";
import { failure, pair, sleep, until } from "./support.mjs";

const WINDOW = 1024;

class Flows extends Referenceable {
  made = 0;
  saved = [];
  cancelled = [];
  gate = undefined;

  numbers(count) {
    return ReadableStream.from((function* () {
      for (let n = 0; n < count; n++) yield n;
    })());
  }

  endless(size = 0) {
    return new ReadableStream({
      pull: (controller) => {
        this.made++;
        controller.enqueue(size ? new Uint8Array(size) : this.made);
      },
      cancel: (reason) => {
        this.cancelled.push(reason);
      },
    }, { highWaterMark: 0 });
  }

  failing() {
    let n = 0;
    return new ReadableStream({
      pull(controller) {
        if (n++ < 3) controller.enqueue(n);
        else controller.error(new Error("the disk is full"));
      },
    });
  }

  saves() {
    return new WritableStream({
      write: async (chunk) => {
        if (chunk === "bad") throw new Error("it is bad");
        await this.gate;
        this.saved.push(chunk);
      },
      close: async () => {
        await sleep(10);
        this.saved.push("closed");
      },
      abort: (reason) => {
        this.saved.push(reason);
      },
    });
  }

  async all(fount) {
    const items = [];
    for await (const item of readableOf(fount)) items.push(item);
    return items;
  }

  echo(value) {
    return value;
  }
}

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

const upTo = (count) => Array.from({ length: count }, (_, n) => n);

test("a stream as a result", async (t) => {
  const { remote } = await pair(t, new Flows());
  assert.deepEqual(await all(readableOf(remote.numbers(3000))), upTo(3000));
});

test("a stream as an argument", async (t) => {
  const { remote } = await pair(t, new Flows());
  assert.deepEqual(await remote.all(ReadableStream.from(upTo(3000))), upTo(3000));
});

test("a stream that takes chunks, closed when the far one has finished", async (t) => {
  const flows = new Flows();
  const { remote } = await pair(t, flows);
  await ReadableStream.from(upTo(3000)).pipeTo(writableOf(remote.saves()));
  assert.deepEqual(flows.saved, [...upTo(3000), "closed"]);
});

test("through a TransformStream on either side", async (t) => {
  const { remote } = await pair(t, new Flows());
  const doubled = readableOf(remote.numbers(5)).pipeThrough(new TransformStream({
    transform: (n, controller) => controller.enqueue(n * 2),
  }));
  assert.deepEqual(await remote.all(doubled), [0, 2, 4, 6, 8]);
});

test("a slow reader holds the writer", async (t) => {
  const flows = new Flows();
  const { remote } = await pair(t, flows);
  const reader = readableOf(remote.endless()).getReader();
  for (let n = 1; n <= 10; n++) assert.equal((await reader.read()).value, n);
  await sleep(200);
  assert.ok(flows.made <= WINDOW + 80, `${flows.made} were made`);
  const { made } = flows;
  await sleep(100);
  assert.equal(flows.made, made);
  for (let n = 11; n <= 5 * WINDOW; n++) assert.equal((await reader.read()).value, n);
  await reader.cancel();
});

test("bytes count too", async (t) => {
  const flows = new Flows();
  const { remote } = await pair(t, flows);
  const reader = readableOf(remote.endless(100_000), { bytes: 300_000 }).getReader();
  await reader.read();
  await sleep(200);
  assert.ok(flows.made <= 8, `${flows.made} were made`);
  await reader.cancel();
});

test("a stalled stream stalls no other", async (t) => {
  const { remote } = await pair(t, new Flows());
  const stalled = await Promise.all(upTo(5).map(async () => {
    const reader = readableOf(remote.endless(20_000)).getReader();
    await reader.read();
    return reader;
  }));
  await sleep(100);
  assert.equal((await all(readableOf(remote.numbers(20_000)))).length, 20_000);
  await Promise.all(stalled.map((reader) => reader.cancel()));
});

test("cancelling reaches the far stream once", async (t) => {
  const flows = new Flows();
  const { remote } = await pair(t, flows);
  const stream = readableOf(remote.endless());
  for await (const item of stream) if (item === 3) break;
  await until(() => flows.cancelled.length > 0);
  await sleep(50);
  assert.equal(flows.cancelled.length, 1);
  assert.ok(flows.cancelled[0] instanceof FlowStopped);
});

test("an error comes behind what was sent before it", async (t) => {
  const { remote } = await pair(t, new Flows());
  const items = [];
  const error = await failure((async () => {
    for await (const item of readableOf(remote.failing())) items.push(item);
  })());
  assert.deepEqual(items, [1, 2, 3]);
  assert.ok(error instanceof RemoteError && error.message.includes("the disk is full"), String(error));
});

test("a far drain that fails stops the writer", async (t) => {
  const { remote } = await pair(t, new Flows());
  const error = await failure(ReadableStream.from(["good", "bad", "ugly"]).pipeTo(writableOf(remote.saves())));
  assert.ok(String(error).includes("it is bad") || error instanceof FlowStopped, String(error));
});

test("aborting reaches the far drain with its reason", async (t) => {
  const flows = new Flows();
  const { remote } = await pair(t, flows);
  const writer = writableOf(remote.saves()).getWriter();
  await writer.write("first");
  await until(() => flows.saved.length === 1);
  await writer.abort(new Error("enough"));
  await until(() => flows.saved.length === 2);
  assert.ok(String(flows.saved[1]).includes("enough"));
});

test("a lost connection errors the streams on both sides", async (t) => {
  const flows = new Flows();
  const { remote, client } = await pair(t, flows);
  const reader = readableOf(remote.endless()).getReader();
  await reader.read();
  const writer = writableOf(remote.saves()).getWriter();
  await writer.write("before");
  await until(() => flows.saved.length === 1);
  await client.close();
  assert.match(String(await failure((async () => {
    while (!(await reader.read()).done);
  })())), /DisconnectedError|closed/);
  assert.match(String(await failure(writer.closed)), /DisconnectedError|closed|FlowStopped/);
  await until(() => flows.cancelled.length === 1 && flows.saved.length === 2);
});

test("something that cannot be passed errors the stream", async (t) => {
  const { remote } = await pair(t, new Flows());
  const error = await failure(ReadableStream.from([1, new Map()]).pipeTo(writableOf(remote.saves())));
  assert.match(String(error), /Map is not passable/);
});

class Liar extends Referenceable {
  stops = 0;
  flowTo(drain) {
    const inlet = send(drain).flowingFrom(this);
    for (let n = 0; n < 10; n++) sendOnly(inlet).receive(Array(1000).fill("x"));
  }
  grant() {}
  stopFlow() {
    this.stops++;
  }
  done() {
    return new Promise(() => {});
  }
}

test("more than was granted ends that stream only", async (t) => {
  const liar = new Liar();
  const { remote } = await pair(t, liar);
  const items = [];
  const error = await failure((async () => {
    for await (const item of readableOf(remote)) items.push(item);
  })());
  assert.match(error.message, /more came than was granted/);
  assert.ok(items.length <= WINDOW + 64);
  await until(() => liar.stops === 1);
});

test("what is no fount", async (t) => {
  const { remote } = await pair(t, new Flows());
  assert.ok((await failure(readableOf(remote.echo(5)).getReader().read())) instanceof Error);
});

test("a drain that is in use takes no second flow", async (t) => {
  const { remote } = await pair(t, new Flows());
  const drain = await remote.saves();
  const first = writableOf(drain).getWriter();
  await first.write(1);
  const error = await failure(ReadableStream.from([1]).pipeTo(writableOf(drain)));
  assert.match(String(error), /already/);
  await first.close();
});
