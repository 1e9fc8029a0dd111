// The entry for Node: reads the module from disk, and brings WebSockets that listen.
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo, Socket as RawSocket } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import { initSync } from "./marotte_wasm.js";
import { type Socket, type SocketOwner, platform } from "./platform.js";
import { start } from "./wasm.js";

function follow(socket: WebSocket, owner: SocketOwner, name: string): void {
  let failure = "";
  let wasOpen = socket.readyState === WebSocket.OPEN;
  socket.on("open", () => {
    wasOpen = true;
    owner.opened();
  });
  socket.on("message", (data: Buffer, isBinary: boolean) => {
    if (isBinary) return owner.received(data);
    goodbye(socket, 1003, "binary messages only");
    owner.lost(`${name} sent text where bytes were due`);
  });
  socket.on("error", (error) => (failure = error.message));
  socket.on("close", (code, reason) => {
    const details = failure || `code ${code}${reason.length > 0 ? `, ${reason.toString()}` : ""}`;
    owner.lost(wasOpen ? `the peer closed the WebSocket (${details})` : `cannot connect to ${name}: ${details}`);
  });
}

platform.connect = (url, owner, maxPayload) => {
  const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload, skipUTF8Validation: true });
  follow(socket, owner, url);
  return adapt(socket);
};

/** A peer that does not answer the closing handshake must not keep the process alive. */
const CLOSING_MS = 1000;

function goodbye(socket: WebSocket, code: number, reason: string): void {
  if (socket.readyState === WebSocket.CONNECTING) return socket.terminate();
  socket.close(code, reason);
  setTimeout(() => socket.terminate(), CLOSING_MS).unref();
}

function adapt(socket: WebSocket): Socket {
  return {
    send: (data) => socket.send(data),
    close: (code, reason) => goodbye(socket, code, reason),
    get bufferedAmount() {
      return socket.bufferedAmount;
    },
  };
}

platform.listen = async ({ host = "127.0.0.1", port = 0, url }, accept, maxPayload) => {
  const http = createServer((_, response) => response.writeHead(426, { connection: "close" }).end("a WebSocket is expected\n"));
  const server = new WebSocketServer({ server: http, maxPayload, perMessageDeflate: false, skipUTF8Validation: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    http.listen(port, host, resolve);
  });
  // Those who have connected, and are no WebSocket yet.
  const strangers = new Set<RawSocket>();
  http.on("connection", (socket: RawSocket) => {
    strangers.add(socket);
    socket.once("close", () => strangers.delete(socket));
  });
  server.on("connection", (socket, request) => {
    strangers.delete(request.socket);
    const owner = accept(adapt(socket), request.socket.remoteAddress ?? "");
    if (!owner) return socket.terminate();
    follow(socket, owner, "the peer");
    owner.opened();
  });
  const actual = (http.address() as AddressInfo).port;
  const name = host.includes(":") ? `[${host}]` : host;
  return {
    port: actual,
    url: url ?? `ws://${name}:${actual}`,
    // It is heard of no more at once; when the last connection has ended is their own affair.
    close() {
      server.close();
      http.close();
      for (const socket of strangers) socket.destroy();
      return new Promise((resolve) => setImmediate(resolve));
    },
  };
};

platform.keep = (path, make) => {
  let kept: string | undefined;
  try {
    kept = readFileSync(path, "utf8").trim();
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
  }
  const text = make(kept);
  if (text === kept) return text;
  // Whoever reads it meanwhile sees the one or the other.
  const fresh = `${path}.${process.pid}.new`;
  rmSync(fresh, { force: true });
  writeFileSync(fresh, `${text}\n`, { mode: 0o600, flag: "wx", flush: true });
  renameSync(fresh, path);
  return text;
};

// Promise jobs queued now run before the next tick does.
platform.endOfTask = (f) => queueMicrotask(() => process.nextTick(f));
platform.later = setImmediate;
platform.delay = (f, ms) => {
  const timer = setTimeout(f, ms).unref();
  return { cancel: () => clearTimeout(timer) };
};
platform.copy = (from, start, end) => {
  const copy = Buffer.allocUnsafe(end - start);
  copy.set(from.subarray(start, end));
  return copy;
};

start(initSync({ module: readFileSync(new URL("marotte_wasm_bg.wasm", import.meta.url)) }));

export * from "./api.js";
