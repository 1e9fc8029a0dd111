// What the tests share: two tubs that know each other, sockets without manners, and a collector on demand.
import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Tub } from "../../wasm/dist/node.js";

/** npm's ws, as the package itself gets it. */
export const { WebSocket, WebSocketServer } = createRequire(new URL("../../wasm/package.json", import.meta.url))("ws");

setFlagsFromString("--expose-gc");
export const gc = runInNewContext("gc");

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `condition()` holds, calling `between` meanwhile. */
export async function until(condition, between = () => {}) {
  for (let i = 0; i < 200; i++) {
    if (condition()) return;
    between();
    await sleep(20);
  }
  throw new Error("it did not come true in four seconds");
}

/**
 * A server that offers `object`, a client, and the client's promise for the object; closed when the test ends.
 * @param {import("node:test").TestContext} t
 */
export async function pair(t, object, { server: serverOptions, client: clientOptions } = {}) {
  const server = new Tub(serverOptions);
  const client = new Tub(clientOptions);
  t.after(() => Promise.all([client.close(), server.close()]));
  const listener = await server.listen();
  const uri = server.registerReference(object, { name: "it" });
  return { server, client, listener, uri, remote: client.getReference(uri) };
}

/** The error that a promise ends with. */
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}
