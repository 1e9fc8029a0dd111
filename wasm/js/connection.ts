// One connection: its session in WebAssembly, and the socket that it is fed from.
import { type Dialler, Dialling, give } from "./dialling.js";
import { platform, type Socket } from "./platform.js";
import { readEvents } from "./events.js";
import * as tape from "./tape.js";
import type { Tub } from "./tub.js";
import { TURNS, runTurnsLater } from "./turns.js";
import { NOTHING, bytes, output, refresh, wasm } from "./wasm.js";

/** What a receive may answer; see wasm/src/sockets.rs. */
const MORE = 1, CLOSED = 2, WAITING = 4;
/** How much may wait in a socket before more is held back, where the session's limit counts it. */
const HIGH_WATER = 4 << 20;
/** How long releases wait for company, in milliseconds. */
const COLLECT_MS = 100;

/** The connections by number, for calls from WebAssembly. */
const connections: (Connection | undefined)[] = [];

/** What the core asks of its drivers. */
export function wake(number: number): void {
  connections[number]?.wake();
}

export function idle(number: number): void {
  connections[number]?.idle();
}

/** Those that have something to write, and will write it when the task ends. */
const dirty = new Set<Connection>();

output.flush = () => {
  output.waiting = 0;
  for (const connection of dirty) connection.flush();
};

/** Milliseconds on a clock that never jumps. */
const now = (): number => performance.now();
/** Timers take no more: a longer one would end at once. Whoever looks too early looks again. */
const LONGEST_MS = 2 ** 31 - 1;
const lookIn = (ms: number, look: () => void): { cancel(): void } => platform.delay(look, Math.min(ms + 1, LONGEST_MS));

/** 32 secret random bytes. */
const putSeed = (): void => tape.putBytes(crypto.getRandomValues(new Uint8Array(32)));

export class Connection implements Dialler {
  socket: Socket | undefined;
  private isOpen = false;
  private isClosed = false;
  private willFlush = false;
  private willCollect = false;
  private deadline: { cancel(): void };
  private hasSettledIn = false;
  private dialling: Dialling | undefined;

  private constructor(readonly tub: Tub, readonly number: number, private readonly isEncrypted: boolean) {
    connections[number] = this;
    tub.connections.add(this);
    this.deadline = lookIn(tub.handshakeMs, this.look);
  }

  /** One that a peer has made. */
  static accepted(tub: Tub, isEncrypted: boolean): Connection {
    const start = tape.begin();
    putSeed();
    putSeed();
    const number = wasm.connect(tub.number, (isEncrypted ? 1 : 0), start, tape.end(start), now()) >>> 0;
    return new Connection(tub, number, isEncrypted);
  }

  /** One that is made to a peer, by the first of those URLs where it is met. */
  static to(tub: Tub, transport: string, designator: string, urls: string[]): Connection {
    const start = tape.begin();
    putSeed();
    putSeed();
    tape.putText(tape.STR, transport);
    tape.putText(tape.STR, designator);
    for (const url of urls) tape.putText(tape.STR, url);
    tape.putTag(tape.NULL);
    const number = wasm.connect_to(tub.number, start, tape.end(start), now()) >>> 0;
    if (number === NOTHING) {
      throw new TypeError(`the reference to ${designator}.noise names no key: the part before .noise must be one in base32`);
    }
    const isEncrypted = transport === "noise";
    const connection = new Connection(tub, number, isEncrypted);
    connection.dialling = new Dialling(urls, tub, isEncrypted ? designator : undefined, connection);
    return connection;
  }

  /** The one with that number. */
  static numbered(number: number): Connection | undefined {
    return connections[number];
  }

  /** Ends a connection whose peer has been silent for too long, and looks again when it may have been. */
  private readonly look = (): void => {
    if (this.isClosed) return;
    if (wasm.handle_timeout(this.number, now())) return this.finish();
    const due = wasm.deadline(this.number);
    if (due >= 0) this.deadline = lookIn(due - now(), this.look);
  };

  // What the core asks for.

  wake(): void {
    if (this.willFlush || !this.isOpen) return;
    this.willFlush = true;
    dirty.add(this);
    platform.endOfTask(this.atEndOfTask);
  }

  idle(): void {
    if (this.willCollect || this.isClosed) return;
    this.willCollect = true;
    platform.delay(() => {
      this.willCollect = false;
      if (!this.isClosed) wasm.collect(this.number);
    }, COLLECT_MS);
  }

  private readonly atEndOfTask = (): void => {
    this.willFlush = false;
    output.waiting = 0;
    this.flush();
    dirty.delete(this);
  };

  /** Writes what waits, unless the socket has enough. */
  flush(): void {
    const socket = this.socket;
    if (this.isClosed || !socket) return;
    if (socket.bufferedAmount > HIGH_WATER) {
      if (!this.willFlush) {
        this.willFlush = true;
        platform.delay(this.atEndOfTask, 5);
      }
      return;
    }
    const length = wasm.flush(this.number) >>> 0;
    if (length === 0) return;
    refresh();
    const start = wasm.flushed_address() >>> 0;
    for (let index = 0, sent = 0; sent < length; index++) {
      const end = wasm.flushed_end(index) >>> 0 || length;
      socket.send(platform.copy(bytes, start + sent, start + end));
      sent = end;
    }
  }

  /** Has further ways to the peer tried while none was found: those of another reference may be wrong. */
  goFurther(urls: string[]): void {
    this.dialling?.goFurther(urls);
  }

  // What the socket says.

  met(socket: Socket, way: number): void {
    if (this.isClosed) return socket.close(1000, "");
    this.dialling = undefined;
    this.socket = socket;
    if (way !== NOTHING) wasm.way_take(way, this.number);
    this.opened();
    // It may have begun to speak.
    if (way !== NOTHING) this.received(new Uint8Array(0));
  }

  opened(): void {
    if (this.isClosed) return;
    this.isOpen = true;
    this.flush();
  }

  received(data: Uint8Array): void {
    if (this.isClosed) return;
    if (data.length > this.tub.maxSocketBytes) {
      this.abort(`the peer sent a WebSocket message of ${data.length} bytes`);
      return;
    }
    give(data);
    const what = wasm.receive(this.tub.number, this.number, data.length, TURNS, now());
    if (!this.hasSettledIn && !(what & WAITING)) {
      // From now on the deadline is that of its silence, if there is one.
      this.hasSettledIn = true;
      this.deadline.cancel();
      this.look();
    }
    readEvents();
    // The handshake has something to say by itself.
    if (this.isEncrypted) this.wake();
    if (what & CLOSED) this.finish();
    if (what & MORE) runTurnsLater();
  }

  lost(why: string): void {
    this.end(false, why);
  }

  /** Ends the session from this side. */
  abort(why: string): void {
    this.end(true, why);
  }

  private end(byUs: boolean, why: string): void {
    if (this.isClosed) return;
    const start = tape.begin();
    tape.putText(tape.STR, why);
    wasm.close(this.number, byUs as unknown as number, start, tape.end(start));
    this.finish();
  }

  /** The session has ended: tells the peer what there is to tell, and forgets it. */
  private finish(): void {
    this.isOpen = this.isOpen && this.socket !== undefined;
    if (this.isOpen) this.flush();
    this.isClosed = true;
    this.deadline.cancel();
    this.dialling?.abandon();
    connections[this.number] = undefined;
    this.tub.forget(this);
    wasm.connection_drop(this.number);
    this.socket?.close(1000, "");
    this.socket = undefined;
  }
}
