// What differs between a browser and Node. The browser's ways are the default; node.ts puts its own in their place.

/** An open or opening WebSocket. */
export interface Socket {
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code: number, reason: string): void;
  readonly bufferedAmount: number;
}

/** Who is told what happens to a socket. */
export interface SocketOwner {
  opened(): void;
  received(data: Uint8Array): void;
  /** The last call; `why` is a sentence without its full stop. */
  lost(why: string): void;
}

export interface ListenOptions {
  /** The port; 0, the default, lets the system choose. */
  port?: number;
  /** The address to listen on. Default: 127.0.0.1. */
  host?: string;
  /** The URL to announce, where it is not `ws://host:port`: behind a proxy, say. */
  url?: string;
  /** Encrypts what is inside of the WebSockets; both ends show by their keys who they are. Default: `false`. */
  encrypted?: boolean;
}

/** A listening socket. */
export interface Listener {
  /** The port that it listens on. */
  readonly port: number;
  /** The URL that references carry. */
  readonly url: string;
  /** Stops listening; connections that are open stay. */
  close(): Promise<void>;
}

export interface Platform {
  connect(url: string, owner: SocketOwner, maxBytes: number): Socket;
  /** `accept` is told the address that a connection comes from; without an owner the connection ends. */
  listen(options: ListenOptions, accept: (socket: Socket, from: string) => SocketOwner | undefined, maxBytes: number): Promise<Listener>;
  /** Puts into a secret file what `make` makes of what it held, unless that is the same, and returns it. */
  keep(path: string, make: (kept: string | undefined) => string): string;
  /** Runs `f` once this task's promise jobs are done, or nearly so. */
  endOfTask(f: () => void): void;
  /** Runs `f` in a task of its own, soon. */
  later(f: () => void): void;
  /** Runs `f` after a while; does not keep a process alive. */
  delay(f: () => void, ms: number): { cancel(): void };
  /** A copy of a part of `from`. */
  copy(from: Uint8Array<ArrayBuffer>, start: number, end: number): Uint8Array<ArrayBuffer>;
}

const channel = typeof MessageChannel === "undefined" || typeof window === "undefined" ? undefined : new MessageChannel();
const tasks: (() => void)[] = [];
if (channel) channel.port1.onmessage = () => tasks.shift()?.();

function connect(url: string, owner: SocketOwner): Socket {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => owner.opened();
  socket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) return owner.received(new Uint8Array(data));
    socket.close(1003, "binary messages only");
    owner.lost(`${url} sent text where bytes were due`);
  };
  // A browser keeps to itself why a connection failed.
  let wasOpen = false;
  socket.addEventListener("open", () => (wasOpen = true));
  socket.onclose = ({ code, reason }) => {
    const details = `code ${code}${reason && `, ${reason}`}`;
    owner.lost(wasOpen ? `the peer closed the WebSocket (${details})` : `cannot connect to ${url} (${details})`);
  };
  return socket;
}

export const platform: Platform = {
  connect,
  listen: () => Promise.reject(new Error("a browser cannot listen; let the peer listen, and connect to it")),
  keep: () => {
    throw new Error("a browser has no files");
  },
  // Callers that await one another take a few rounds; waiting for them makes one message of theirs.
  endOfTask: (f) => queueMicrotask(() => queueMicrotask(() => queueMicrotask(f))),
  later(f) {
    if (!channel) return void setTimeout(f, 0);
    tasks.push(f);
    channel.port2.postMessage(null);
  },
  delay(f, ms) {
    const timer = setTimeout(f, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  copy: (from, start, end) => from.slice(start, end),
};
