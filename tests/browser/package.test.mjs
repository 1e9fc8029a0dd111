// The npm package in a page, without a bundler: it loads, connects, pipelines, and writes in batches.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { Referenceable, Tub } from "../../wasm/dist/node.js";

const { chromium } = createRequire(new URL("../../wasm/package.json", import.meta.url))("playwright-core");
const DIST = new URL("../../wasm/dist/", import.meta.url);
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

class Node extends Referenceable {
  next() {
    return new Node();
  }
  value() {
    return 4;
  }
  echo(value) {
    return value;
  }
  async call(f) {
    return f(20);
  }
}

let browser, page;
const uris = {};
/** What is inside of the WebSocket. */
const SCHEMES = ["ws", "noise+ws"];
const tubs = SCHEMES.map(() => new Tub());
const web = createServer(async (request, response) => {
  try {
    const name = request.url.slice(1);
    const body = name === "" ? "<!doctype html><link rel=icon href=data:,>" : await readFile(new URL(name, DIST));
    const type = name === "" ? "text/html" : name.endsWith(".wasm") ? "application/wasm" : "text/javascript";
    response.setHeader("content-type", type).end(body);
  } catch {
    response.writeHead(404).end();
  }
});

before(async () => {
  for (const [index, scheme] of SCHEMES.entries()) {
    await tubs[index].listen(`${scheme}://127.0.0.1:0`);
    uris[scheme] = tubs[index].registerReference(new Node());
  }
  await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
  const executablePath = process.env.MAROTTE_CHROMIUM ?? "/usr/bin/chromium";
  browser = await chromium.launch({ executablePath, args: FLAGS });
  page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${web.address().port}/`);
});

after(async () => {
  await browser?.close();
  web.close();
  web.closeAllConnections();
  for (const tub of tubs) await tub.close();
});

for (const scheme of SCHEMES) {
  test(`a page makes a pipelined chain, calls back, and passes values: ${scheme}`, async () => {
    const seen = await page.evaluate(async (uri) => {
      const { Tub } = await import("/index.js");
      const tub = new Tub();
      const remote = tub.getReference(uri);
      const chain = await remote.next().next().value();
      const trips = tub.stats().round_trips;
      const echo = await remote.echo({ a: [1, "é", null, -0.5], big: 2n ** 70n === (await remote.echo(2n ** 70n)) });
      const bytes = (await remote.echo(new Uint8Array(100_000).fill(3))).reduce((sum, byte) => sum + byte, 0);
      const call = await remote.call((x) => x * 2);
      tub.close();
      return { chain, trips, echo, bytes, call };
    }, uris[scheme]);
    assert.deepEqual(seen, { chain: 4, trips: 1, echo: { a: [1, "é", null, -0.5], big: true }, bytes: 300_000, call: 40 });
  });

  test(`a page with 64 callers writes in batches: ${scheme}`, async () => {
    const { calls, writes } = await page.evaluate(async (uri) => {
      const { Tub } = await import("/index.js");
      const tub = new Tub();
      const remote = tub.getReference(uri);
      await remote;
      const before = tub.stats();
      await Promise.all(Array.from({ length: 64 }, async () => {
        for (let i = 0; i < 20; i++) await remote.value();
      }));
      const after = tub.stats();
      tub.close();
      return { calls: after.calls_sent - before.calls_sent, writes: after.writes - before.writes };
    }, uris[scheme]);
    assert.equal(calls, 1280);
    assert.ok(writes <= 128, `${writes} writes`);
  });
}

test("Deferreds in a page: chains, promises, timeouts, and a failure that is reported", async () => {
  const logged = [];
  page.on("console", (message) => logged.push(message.text()));
  const seen = await page.evaluate(async (uri) => {
    const { CancelledError, Deferred, Tub, fail, gatherResults, succeed } = await import("/index.js");
    const tub = new Tub();
    const remote = tub.getReference(uri);
    const inner = new Deferred();
    const chain = succeed(1).addCallback(() => inner).addCallback((value) => remote.echo(value)).addCallback((value) => value * 2);
    setTimeout(() => inner.callback(21), 5);
    const late = new Deferred().addTimeout(5).addErrback((error) => error.name);
    const controller = new AbortController();
    const request = Deferred.fromPromise(fetch("/", { signal: controller.signal }), controller);
    request.cancel();
    const all = await gatherResults([chain, late, request.addErrback((error) => error instanceof CancelledError)]);
    const deep = Array.from({ length: 100_000 }, () => new Deferred());
    for (let i = 0; i < deep.length - 1; i++) deep[i].addCallback(() => deep[i + 1]);
    for (const d of deep) d.callback("bottom");
    const bottom = await deep[0];
    const reported = new Promise((resolve) => {
      const { onUnhandledError } = Deferred;
      Deferred.onUnhandledError = (...args) => resolve(onUnhandledError(...args));
    });
    fail(new RangeError("nobody's"));
    await reported;
    tub.close();
    return { all, bottom, aborted: controller.signal.aborted };
  }, uris.ws);
  assert.deepEqual(seen, { all: [42, "TimeoutError", true], bottom: "bottom", aborted: true });
  assert.ok(logged.some((text) => /nobody handled it.*RangeError: nobody's/s.test(text)), logged.join("\n"));
});

test("a page is told what it cannot do", async () => {
  const { listen, lost } = await page.evaluate(async () => {
    const { DisconnectedError, Tub } = await import("/index.js");
    const tub = new Tub();
    const listen = await tub.listen().catch((error) => error.message);
    const lost = await tub.getReference("ocapn://x.websocket/s/YQ?url=ws://127.0.0.1:9").x().catch((error) => error);
    tub.close();
    return { listen, lost: lost instanceof DisconnectedError && lost.message };
  });
  assert.match(listen, /a browser cannot listen/);
  assert.match(lost, /: cannot connect to ws:\/\/127\.0\.0\.1:9/);
});
