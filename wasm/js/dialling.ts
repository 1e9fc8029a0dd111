// Going all ways to a peer at once, until it is met on one of them.
import { platform, type Socket, type SocketOwner } from "./platform.js";
import * as tape from "./tape.js";
import { NOTHING, bytes, refresh, wasm } from "./wasm.js";

/** How long a way may take before the next one is tried beside it, in milliseconds: RFC 8305, section 5. */
const NEXT_WAY_MS = 250;

/** So many ways to one peer are tried at once, whoever has named them. */
const MOST_WAYS = 32;

/** Who is told how it ends. */
export interface Dialler extends SocketOwner {
  /** The peer was met there, by that way of the core's if it is encrypted. */
  met(socket: Socket, way: number): void;
}

/** Puts received bytes where the core finds them. */
export function give(data: Uint8Array): void {
  const place = wasm.receive_reserve(data.length) >>> 0;
  refresh();
  bytes.set(data, place);
}

/** The ways to a peer, each tried a little later than the one before. The first on which the peer is met is kept. */
export class Dialling {
  private readonly left: string[];
  private readonly tried: Set<string>;
  private readonly attempts = new Set<Attempt>();
  private readonly reasons: string[] = [];
  private timer: { cancel(): void } | undefined;
  private hasEnded = false;

  /** `key` is the peer's designator if it is to show that it has that key. */
  constructor(
    urls: string[],
    private readonly tub: { readonly number: number; readonly maxSocketBytes: number },
    private readonly key: string | undefined,
    private readonly dialler: Dialler,
  ) {
    this.left = [...urls];
    this.tried = new Set(urls);
    this.next();
  }

  /** Tries these, too, but for those that it tries already. */
  goFurther(urls: string[]): void {
    for (const url of urls) {
      if (this.hasEnded || this.tried.has(url) || this.tried.size >= MOST_WAYS) continue;
      this.tried.add(url);
      this.left.push(url);
      this.next();
    }
  }

  private next(): void {
    this.timer?.cancel();
    this.timer = undefined;
    const url = this.left.shift();
    if (this.hasEnded || url === undefined) return;
    if (this.left.length > 0) this.timer = platform.delay(() => this.next(), NEXT_WAY_MS);
    const attempt = new Attempt(this, this.dialler, url, this.tub.number, this.key);
    this.attempts.add(attempt);
    try {
      attempt.socket = platform.connect(url, attempt, this.tub.maxSocketBytes);
    } catch (error) {
      platform.later(() => attempt.lost(`cannot connect to ${url}: ${error instanceof Error ? error.message : error}`));
    }
  }

  /** Hangs up on all ways but one. */
  abandon(kept?: Attempt): void {
    this.hasEnded = true;
    this.timer?.cancel();
    for (const attempt of this.attempts) if (attempt !== kept) attempt.abandon();
    this.attempts.clear();
  }

  won(attempt: Attempt): void {
    this.abandon(attempt);
  }

  failed(attempt: Attempt, reason: string): void {
    if (this.hasEnded) return;
    this.attempts.delete(attempt);
    this.reasons.push(reason);
    if (this.left.length > 0) this.next();
    else if (this.attempts.size === 0) {
      this.hasEnded = true;
      this.dialler.lost(this.reasons.join("; "));
    }
  }
}

/** One way that is tried; once the peer was met on it, what happens there is its connection's. */
class Attempt implements SocketOwner {
  socket: Socket | undefined;
  private way = NOTHING;
  private state: "connecting" | "greeting" | "met" | "over" = "connecting";

  constructor(
    private readonly dialling: Dialling,
    private readonly dialler: Dialler,
    private readonly url: string,
    private readonly tub: number,
    private readonly key: string | undefined,
  ) {}

  opened(): void {
    // A browser's socket may open before it was given back.
    if (!this.socket) return platform.later(() => this.opened());
    if (this.state !== "connecting") return;
    if (this.key === undefined) return this.meet();
    this.state = "greeting";
    const start = tape.begin();
    tape.putBytes(crypto.getRandomValues(new Uint8Array(32)));
    tape.putText(tape.STR, this.key);
    this.way = wasm.way_new(this.tub, start, tape.end(start)) >>> 0;
    this.greet(new Uint8Array(0));
  }

  received(data: Uint8Array): void {
    if (this.state === "greeting") this.greet(data);
    else if (this.state === "met") this.dialler.received(data);
  }

  lost(why: string): void {
    if (this.state === "met") return this.dialler.lost(why);
    if (this.state === "greeting") this.fail(`cannot connect to ${this.url}: ${why}, without showing the key that the reference names`);
    else this.fail(why);
  }

  private fail(reason: string): void {
    if (this.state === "over") return;
    this.abandon();
    this.dialling.failed(this, reason);
  }

  abandon(): void {
    if (this.state === "over") return;
    this.state = "over";
    if (this.way !== NOTHING) wasm.way_drop(this.way);
    this.socket?.close(1000, "");
  }

  private greet(data: Uint8Array): void {
    give(data);
    const how = wasm.way_greet(this.way, data.length);
    const length = wasm.way_flush(this.way) >>> 0;
    if (length > 0) {
      refresh();
      const start = wasm.flushed_address() >>> 0;
      this.socket?.send(platform.copy(bytes, start, start + length));
    }
    if (how === 1) return this.meet();
    if (how === 0) return;
    tape.read(wasm.result_address());
    this.fail(`cannot connect to ${this.url}: ${tape.getString()}`);
  }

  private meet(): void {
    this.state = "met";
    this.dialling.won(this);
    this.dialler.met(this.socket!, this.way);
  }
}
