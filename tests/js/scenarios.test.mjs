// The scenarios of tests/vectors/promise: order, exactly-once settling and empty tables, whatever the delays, and
// whenever the connection is lost.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import net from "node:net";
import { test } from "node:test";
import { DisconnectedError, Referenceable, Tub, flushEventualQueue, makePromise, send, sendOnly } from "../../wasm/dist/node.js";
import { gc, sleep, until } from "./support.mjs";

const scenarios = JSON.parse(readFileSync(new URL("../vectors/promise/scenarios.json", import.meta.url), "utf8"));

function resolve(resolver, slot, how, value) {
  if (how === "to") resolver(value);
  else if (how === "value") resolver(slot);
  else resolver.smash(new Error(`smashed ${slot}`));
}

/** An object of either side. */
class Node extends Referenceable {
  noted = [];
  open = new Map();
  constructor(name, nodes) {
    super();
    nodes.set(name, this);
    // Underscored, so that nobody calls them.
    this._name = name;
    this._nodes = nodes;
  }
  name() {
    return this._name;
  }
  note(number, slot) {
    this.noted.push([slot, number]);
    return number;
  }
  child(name) {
    return new Node(name, this._nodes);
  }
  fail() {
    throw new Error("no luck");
  }
  echo(value) {
    return value;
  }
  later(slot) {
    const [promise, resolver] = makePromise();
    this.open.set(slot, resolver);
    return promise;
  }
  release(slot, how, value) {
    resolve(this.open.get(slot), slot, how, value);
    this.open.delete(slot);
  }
}

/** Passes on what two ends say, late, until it is cut. Returns its port, and the means to cut it. */
async function link(port, delays) {
  const sockets = [];
  const passOn = (from, to) => {
    let at = 0;
    let last = Promise.resolve();
    from.on("data", (chunk) => {
      const due = sleep(delays[at++ % delays.length]);
      last = Promise.all([last, due]).then(() => to.writable && to.write(chunk));
    });
    from.on("close", () => void last.then(() => to.destroy()));
    from.on("error", () => {});
  };
  const server = net.createServer({ noDelay: true }, (near) => {
    const far = net.connect({ port, host: "127.0.0.1", noDelay: true });
    sockets.push(near, far);
    passOn(near, far);
    passOn(far, near);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return { port: server.address().port, cut, close: () => (server.close(), cut()) };
}

/** Takes the steps. */
class Client {
  nodes = new Map();
  resolvers = new Map();
  settled = new Map();
  ended = new Map();
  pending = 0;
  constructor(root) {
    this.slots = new Map([[0, root]]);
  }

  keep(slot, value) {
    this.slots.set(slot, value);
    if (value instanceof Node) return this.ended.set(slot, { value });
    this.settled.set(slot, 0);
    this.pending++;
    const settle = (outcome) => {
      this.settled.set(slot, this.settled.get(slot) + 1);
      this.ended.set(slot, outcome);
      this.pending--;
    };
    value._then((value) => settle({ value }), (error) => settle({ error }));
  }

  async take({ do: what, into, on, give, number, slot, how, to, ms }) {
    const { slots } = this;
    const on_ = on === undefined ? undefined : slots.get(on);
    switch (what) {
      case "note":
        if (into === null) sendOnly(on_).note(number, on);
        else this.keep(into, send(on_).note(number, on));
        break;
      case "child": return this.keep(into, send(on_).child(into));
      case "fail": return this.keep(into, send(on_).fail());
      case "echo": return this.keep(into, send(on_).echo(slots.get(give)));
      case "later": return this.keep(into, send(slots.get(0)).later(into));
      case "release": return sendOnly(slots.get(0)).release(slot, how, slots.get(to) ?? null);
      case "make": {
        const [promise, resolver] = makePromise();
        this.resolvers.set(into, resolver);
        return this.keep(into, promise);
      }
      case "resolve":
        resolve(this.resolvers.get(slot), slot, how, slots.get(to));
        this.resolvers.delete(slot);
        break;
      case "node": return this.keep(into, new Node(into, this.nodes));
      case "drop": return slots.delete(slot);
      case "pause": return sleep(ms);
      default: throw new Error(`no step ${what}`);
    }
  }
}

async function describe({ value, error }) {
  if (error instanceof DisconnectedError) return "disconnected";
  if (error) return `broken:${error.message}`;
  if (value instanceof Node) return `mine:${value._name}`;
  return typeof value === "function" ? `far:${await value.name()}` : `value:${value}`;
}

function fits(said, expected, isCut) {
  if (isCut && (said === "disconnected" || said.includes("is gone"))) return true;
  const [, kind, what] = /^(\w+):(.*)$/.exec(expected);
  return kind === "broken" ? said.startsWith("broken:") && said.includes(what) : said === expected;
}

function checkOrder(nodes) {
  for (const { noted, _name } of nodes.values()) {
    const last = new Map();
    for (const [slot, number] of noted) {
      assert.ok(number > (last.get(slot) ?? 0), `object ${_name}, slot ${slot}: ${JSON.stringify(noted)}`);
      last.set(slot, number);
    }
  }
}

function checkArrival(steps, expected, nodes) {
  const arrived = Object.entries(nodes).flatMap(([kind, those]) =>
    [...those.values()].flatMap(({ noted, _name }) => noted.map(([, number]) => [number, `${kind}:${_name}`])));
  const sent = steps.filter((step) => step.do === "note" && /^(far|mine):/.test(expected[step.on]))
    .map((step) => [step.number, expected[step.on]]);
  const byNumber = ([a], [b]) => a - b;
  assert.deepEqual(arrived.sort(byNumber), sent.sort(byNumber));
}

/** The client's part; what it holds is gone when it ends. */
async function play(client, uri, serverNodes, { steps, expected, cut_before: cutBefore }, cut) {
  const isCut = cutBefore !== null;
  const player = new Client(await client.getReference(uri));
  for (const [index, step] of steps.entries()) {
    if (index === cutBefore) cut();
    await player.take(step);
  }
  await until(() => player.pending === 0);
  await flushEventualQueue();
  assert.deepEqual(new Set(player.settled.values()), new Set([1]));
  for (const [slot, outcome] of player.ended) {
    if (isCut && typeof outcome.value === "function") assert.match(expected[slot], /^far:/);
    else assert.ok(fits(await describe(outcome), expected[slot], isCut), `slot ${slot}: ${await describe(outcome)}, not ${expected[slot]}`);
  }
  assert.equal(player.ended.size, expected.length - 1);
  checkOrder(player.nodes);
  checkOrder(serverNodes);
  if (!isCut) checkArrival(steps, expected, { mine: player.nodes, far: serverNodes });
}

const tables = ["exports", "imports", "questions", "answers"];

for (const scenario of scenarios) {
  test(`scenario ${scenario.name}`, async (t) => {
    const [server, client] = [new Tub(), new Tub()];
    t.after(() => Promise.all([client.close(), server.close()]));
    await server.listen();
    const nodes = new Map();
    const uri = server.registerReference(new Node(0, nodes), { name: "it" });
    const [, port] = /127\.0\.0\.1(?:%3A|:)(\d+)/.exec(uri);
    const between = await link(Number(port), scenario.delays_ms);
    t.after(between.close);
    await play(client, uri.replace(port, between.port), nodes, scenario, between.cut);
    nodes.clear();
    await until(() => [client, server].every((tub) => tables.every((table) => tub.stats()[table] === 0)), gc);
  });
}
