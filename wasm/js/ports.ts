// The open ports of tubs, and who is found at them.
import { Connection } from "./connection.js";
import { give } from "./dialling.js";
import { platform, type ListenOptions, type Listener, type Socket, type SocketOwner } from "./platform.js";
import * as tape from "./tape.js";
import type { Tub } from "./tub.js";
import { NOTHING, wasm } from "./wasm.js";

/** So many bytes may be said before there is a session: MOST_GREETING of the core's transports. */
const MOST_GREETING = 64 << 10;

interface Port {
  listener: Listener;
  isEncrypted: boolean;
  /** Whose it is, if it is of one tub only. */
  owner: Tub | undefined;
}

/**
 * The ports that a tub shares with those that were made of it. They close when the last of these is.
 *
 * Whoever connects to one says by a key whom they want. A port in plain text, where nobody can say that, is of one tub
 * only, and closes with it.
 */
export class Ports {
  private readonly tubs = new Map<string, Tub>();
  private ports: Port[] = [];

  /** A tub can be found at these ports from now on. */
  join(tub: Tub): void {
    if (this.tubs.has(tub.designator)) throw new Error("a tub with that key is found here already; close it first, or take another key");
    this.tubs.set(tub.designator, tub);
    if (this.ports.length > 0) this.tell(tub);
  }

  /** A tub is found here no more. The last one closes the ports. */
  async leave(tub: Tub): Promise<void> {
    // It may have left before, and another one with its key have come since.
    if (this.tubs.get(tub.designator) !== tub) return;
    this.tubs.delete(tub.designator);
    const isOver = (port: Port): boolean => this.tubs.size === 0 || port.owner === tub;
    await Promise.all(this.ports.filter(isOver).map((port) => port.listener.close()));
  }

  /** True if the tub is found somewhere. */
  has(tub: Tub): boolean {
    return this.of(tub).length > 0;
  }

  async listen(tub: Tub, options: ListenOptions): Promise<Listener> {
    const isEncrypted = options.encrypted ?? false;
    const arrivals = new Set<Arrival>();
    const visits = wasm.visits_new() >>> 0;
    const accept = (socket: Socket, from: string): SocketOwner | undefined => {
      const start = tape.begin();
      tape.putText(tape.STR, from);
      const visit = wasm.visit(visits, tub.maxPerAddress, start, tape.end(start)) >>> 0;
      if (visit === NOTHING) return undefined;
      const owner = admit(socket);
      return {
        opened: () => owner.opened(),
        received: (data) => owner.received(data),
        lost: (why) => {
          wasm.visit_drop(visit);
          owner.lost(why);
        },
      };
    };
    const admit = (socket: Socket): SocketOwner => {
      if (isEncrypted) return new Arrival(this.tubs, socket, tub, arrivals);
      const connection = Connection.accepted(tub, false);
      connection.socket = socket;
      return connection;
    };
    const opened = await platform.listen(options, accept, tub.maxSocketBytes);
    if (tub.isClosed) {
      await opened.close();
      throw new Error("the tub was closed");
    }
    const listener: Listener = {
      port: opened.port,
      url: opened.url,
      close: () => {
        this.ports = this.ports.filter((port) => port.listener !== listener);
        this.announce();
        wasm.visits_drop(visits);
        for (const arrival of arrivals) arrival.hangUp();
        return opened.close();
      },
    };
    this.ports.push({ listener, isEncrypted, owner: isEncrypted ? undefined : tub });
    this.announce();
    return listener;
  }

  private of(tub: Tub): Port[] {
    return this.ports.filter((port) => !port.owner || port.owner === tub);
  }

  /** Tells the tubs where they are found. */
  private announce(): void {
    for (const tub of this.tubs.values()) this.tell(tub);
  }

  private tell(tub: Tub): void {
    const start = tape.begin();
    for (const { listener, isEncrypted } of this.of(tub)) {
      tape.putText(tape.STR, isEncrypted ? "noise" : "websocket");
      tape.putText(tape.STR, listener.url);
    }
    tape.putTag(tape.NULL);
    wasm.tub_listens(tub.number, start, tape.end(start));
  }
}

/** Who has connected, and has not said yet whom they want; then, what happens is that tub's connection's. */
class Arrival implements SocketOwner {
  private connection: Connection | undefined;
  private heard = new Uint8Array(0);
  private isOver = false;
  private readonly timer: { cancel(): void };

  constructor(
    private readonly tubs: Map<string, Tub>,
    private readonly socket: Socket,
    opener: Tub,
    private readonly arrivals: Set<Arrival>,
  ) {
    arrivals.add(this);
    this.timer = platform.delay(() => this.hangUp(), Math.min(opener.handshakeMs, 2 ** 31 - 1));
  }

  opened(): void {}

  received(data: Uint8Array): void {
    if (this.connection) return this.connection.received(data);
    if (this.isOver) return;
    // As the core has it for the others; 34 bytes are enough.
    if (this.heard.length + data.length > MOST_GREETING) return this.hangUp();
    if (this.heard.length > 0) {
      const joined = new Uint8Array(this.heard.length + data.length);
      joined.set(this.heard);
      joined.set(data, this.heard.length);
      data = joined;
    }
    give(data);
    if (!wasm.wanted(data.length)) return this.hangUp();
    tape.read(wasm.result_address());
    const key = tape.getString() ?? "";
    if (key === "") {
      this.heard = data.slice();
      return;
    }
    // Whoever wants somebody who is not here is not answered.
    const tub = this.tubs.get(key);
    if (!tub) return this.hangUp();
    this.leave();
    this.connection = Connection.accepted(tub, true);
    this.connection.socket = this.socket;
    this.connection.opened();
    this.connection.received(data);
  }

  lost(why: string): void {
    this.connection?.lost(why);
    this.isOver = true;
    this.leave();
  }

  hangUp(): void {
    this.isOver = true;
    this.leave();
    this.socket.close(1000, "");
  }

  private leave(): void {
    this.timer.cancel();
    this.arrivals.delete(this);
  }
}
