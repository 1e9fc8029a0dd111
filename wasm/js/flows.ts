// Streams between programs: a ReadableStream is a fount, a WritableStream a drain.
//
// What goes over the wire are ordinary messages, the same from every language:
//
//   to a fount    flowTo(drain)
//   to a drain    flowingFrom(control) -> inlet
//   to an inlet   receive([item, ...])   flowStopped(kind, error)   done() -> null, when the drain has finished
//   to a control  grant(items, bytes)    stopFlow()                 done() -> null, when the fount has stopped
import { report } from "./errors.js";
import { send, sendOnly, when } from "./eventual.js";
import { Referenceable } from "./objects.js";
import { platform } from "./platform.js";
import { type RemotePromise, type RemoteReference } from "./types.js";
import { stateOf, streams } from "./values.js";
import { dropWith, wasm } from "./wasm.js";

/** How much may wait at the receiver of a flow. */
export interface FlowWindow {
  /** Items; 1024 if nothing is said. */
  items?: number;
  /** Bytes of them; 1,048,576 if nothing is said. */
  bytes?: number;
}

/** What stands for a fount or a drain elsewhere. */
type Far = RemoteReference<any> | RemotePromise<any>;

/** The error of a stream that its far end has stopped. */
export class FlowStopped extends Error {
  override readonly name = "FlowStopped";
}

/**
 * A stream of what a far fount gives: a `ReadableStream` of another JavaScript program, a fount of a Python one. It is asked to
 * flow when the stream is first read, and held back while nobody reads: at most `window` waits here. Cancelling the stream
 * stops the far fount. If that fails, or the connection is lost, the stream errors.
 *
 * @example
 * ```ts
 * for await (const line of readableOf<string>(log.lines())) console.log(line);
 * ```
 */
export function readableOf<T = any>(fount: Far, window: FlowWindow = {}): ReadableStream<T> {
  const inlet = new Inlet(window);
  let asked = false;
  return inlet.readable(() => {
    if (asked) return;
    asked = true;
    when(send(fount as RemoteReference<any>).flowTo(new Entrance(inlet))).catch((error: unknown) => inlet.cut(error));
  }) as ReadableStream<T>;
}

/**
 * A stream whose chunks go to a far drain: a `WritableStream` of another JavaScript program, a drain of a Python one. Writing
 * waits while the drain takes no more. Closing it resolves when the far drain has finished its work. If the far
 * drain stops or fails, or the connection is lost, the stream errors.
 *
 * @example
 * ```ts
 * await file.stream().pipeTo(writableOf(server.upload()));
 * ```
 */
export function writableOf<T = any>(drain: Far): WritableStream<T> {
  return new Outlet(drain).writable as WritableStream<T>;
}

// As arguments and results.

const exported = new WeakMap<object, Referenceable>();

/** The object that peers get a reference to in the place of a stream; nothing for any other value. */
function exportedStream(value: object): Referenceable | undefined {
  const known = exported.get(value);
  if (known) return known;
  let object: Referenceable;
  if (typeof ReadableStream === "function" && value instanceof ReadableStream) object = new Fount(value);
  else if (typeof WritableStream === "function" && value instanceof WritableStream) object = new Drain(value);
  else return undefined;
  exported.set(value, object);
  return object;
}

streams.exported = exportedStream;

/** A stream of this program, as peers see it. */
class Fount extends Referenceable {
  readonly #stream: ReadableStream<unknown>;

  constructor(stream: ReadableStream<unknown>) {
    super();
    this.#stream = stream;
  }

  flowTo(drain: Far): void {
    // What goes wrong is told to both streams.
    this.#stream.pipeTo(drainOf(drain)).catch(() => {});
  }
}

function drainOf(drain: unknown): WritableStream<unknown> {
  if (stateOf(drain)) return writableOf(drain as Far);
  if (drain instanceof Drain) return drain.stream;
  throw new TypeError("a fount flows to a drain");
}

/** A stream that takes chunks, as peers see it. */
class Drain extends Referenceable {
  readonly #stream: WritableStream<unknown>;

  constructor(stream: WritableStream<unknown>) {
    super();
    this.#stream = stream;
  }

  get stream(): WritableStream<unknown> {
    return this.#stream;
  }

  flowingFrom(control: Far): Referenceable {
    if (this.#stream.locked) throw new TypeError("something flows to this drain already");
    const inlet = new Inlet({});
    inlet.finishes(inlet.readable().pipeTo(this.#stream));
    inlet.begin(control);
    return inlet;
  }
}

// Sending.

/** Sends what is written to it, as far as it may. */
class Outlet {
  readonly writable: WritableStream<unknown>;
  readonly #inlet: RemotePromise<any>;
  readonly #allowance = wasm.allowance_new() >>> 0;
  #controller!: WritableStreamDefaultController;
  #pending: unknown[] = [];
  /** Goes on with the write that waits. */
  #resume: (() => void) | undefined;
  #over = false;
  /** Fulfilled when the far drain has finished. */
  readonly #finished: Promise<unknown>;
  #stopped!: () => void;

  constructor(drain: Far) {
    dropWith(this, wasm.allowance_drop, this.#allowance);
    const done = new Promise<void>((resolve) => (this.#stopped = resolve));
    this.#inlet = send(drain as RemoteReference<any>).flowingFrom(new Control(this, done)) as RemotePromise<any>;
    this.#finished = when(send(this.#inlet).done() as RemotePromise<any>);
    this.#finished.then(() => this.stop(), (error: unknown) => this.#cut(error));
    this.writable = new WritableStream<unknown>({
      start: (controller) => {
        this.#controller = controller;
      },
      write: (chunk) => this.#write(chunk),
      close: async () => {
        this.#tell("end", null);
        await this.#finished;
      },
      abort: (reason) => this.#tell("error", reason),
    });
  }

  #write(chunk: unknown): Promise<void> | void {
    const size = sizeOf(chunk);
    if (this.#pending.length < BATCH && wasm.allowance_spend(this.#allowance, size)) return this.#put(chunk);
    this.#flush();
    return new Promise<void>((resolve) => {
      this.#resume = () => {
        if (!this.#over && !wasm.allowance_spend(this.#allowance, size)) return;
        this.#resume = undefined;
        if (!this.#over) this.#put(chunk);
        resolve();
      };
      this.#resume();
    });
  }

  #put(chunk: unknown): void {
    // What is written in one go leaves in one message.
    if (this.#pending.push(chunk) === 1) platform.later(() => this.#flush());
  }

  #flush(): void {
    const items = this.#pending;
    if (items.length === 0 || this.#over) return;
    this.#pending = [];
    try {
      (sendOnly(this.#inlet) as any).receive(items);
    } catch (error) {
      // Something in it cannot be passed.
      this.#tell("error", error);
      this.#controller.error(error);
    }
  }

  #tell(kind: string, error: unknown): void {
    if (this.#over) return;
    this.#flush();
    this.#over = true;
    (sendOnly(this.#inlet) as any).flowStopped(kind, error instanceof Error || error === null ? error : new Error(String(error)));
    this.#stopped();
  }

  grant(items: number, bytes: number): void {
    wasm.allowance_grant(this.#allowance, items, bytes);
    this.#resume?.();
  }

  /** The far drain wants no more. */
  stop(): void {
    if (!this.#over) this.#cut(new FlowStopped("the far drain has stopped the flow"));
  }

  #cut(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#pending = [];
    this.#controller.error(error);
    this.#resume?.();
    this.#stopped();
  }
}

/** So many chunks at most are put into one message. */
const BATCH = 256;

/** What the receiver tells the sender. */
class Control extends Referenceable {
  readonly #outlet: Outlet;
  readonly #done: Promise<void>;

  constructor(outlet: Outlet, done: Promise<void>) {
    super();
    this.#outlet = outlet;
    this.#done = done;
  }

  grant(items: number, bytes: number): void {
    if (!(Number.isSafeInteger(items) && Number.isSafeInteger(bytes) && items >= 0 && bytes >= 0)) {
      throw new TypeError("a grant is of a number of items and of bytes");
    }
    this.#outlet.grant(items, bytes);
  }

  stopFlow(): void {
    this.#outlet.stop();
  }

  done(): Promise<void> {
    return this.#done;
  }
}

// Receiving.

/** What the sender tells the receiver. What comes waits here until it is read. */
class Inlet extends Referenceable {
  readonly #window: number;
  #queue: { item: unknown; size: number }[] = [];
  /** How many of the queue have been read; it is shortened now and then. */
  #head = 0;
  #control: Far | undefined;
  #controller!: ReadableStreamDefaultController<unknown>;
  /** Goes on with the reader that waits. */
  #wake: (() => void) | undefined;
  #ended: { error?: unknown } | undefined;
  #finish: Promise<void> = Promise.resolve();
  readonly #done: Promise<void>;
  #over!: () => void;

  constructor({ items = 1024, bytes = 1 << 20 }: FlowWindow) {
    super();
    this.#window = wasm.window_new(items, bytes) >>> 0;
    dropWith(this, wasm.window_drop, this.#window);
    this.#done = new Promise((resolve) => (this.#over = resolve));
  }

  /** The stream of what comes. `ask` is called when somebody reads. */
  readable(ask?: () => void): ReadableStream<unknown> {
    return new ReadableStream<unknown>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => {
        ask?.();
        return this.#pull();
      },
      cancel: () => {
        const control = this.#control;
        if (control && !this.#ended) (sendOnly(control as RemoteReference<any>) as any).stopFlow();
        this.#end({});
        this.#queue = [];
      },
    }, { highWaterMark: 0 });
  }

  /** What says that all work on what has come is done. */
  finishes(finish: Promise<void>): void {
    this.#finish = finish;
    // Whoever asks for it is told.
    finish.catch(() => {});
  }

  begin(control: Far): void {
    if (this.#ended) {
      (sendOnly(control as RemoteReference<any>) as any).stopFlow();
      return;
    }
    this.#control = control;
    this.#grant(0, 0);
    when(send(control as RemoteReference<any>).done() as RemotePromise<any>).catch((error: unknown) => this.cut(error));
  }

  #grant(items: number, bytes: number): void {
    const more = wasm.window_grant(this.#window, items, bytes);
    if (more < 0 || !this.#control || this.#ended) return;
    (sendOnly(this.#control as RemoteReference<any>) as any).grant(more, wasm.window_granted_bytes());
  }

  #pull(): Promise<void> | void {
    const next = this.#queue[this.#head];
    if (next) {
      this.#head++;
      if (this.#head * 2 > this.#queue.length) {
        this.#queue = this.#queue.slice(this.#head);
        this.#head = 0;
      }
      this.#controller.enqueue(next.item);
      this.#grant(1, next.size);
      return;
    }
    if (this.#ended) {
      if ("error" in this.#ended) this.#controller.error(this.#ended.error);
      else this.#controller.close();
      return;
    }
    return new Promise<void>((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        this.#pull();
        resolve();
      };
    });
  }

  // The sender's messages.

  receive(items: unknown): void {
    if (this.#ended) return;
    if (!Array.isArray(items)) throw new TypeError("a flow receives lists of items");
    for (const item of items) {
      const size = sizeOf(item);
      if (!wasm.window_arrived(this.#window, size)) {
        if (this.#control) (sendOnly(this.#control as RemoteReference<any>) as any).stopFlow();
        const error = new Error("more came than was granted");
        this.#end({ error });
        throw error;
      }
      this.#queue.push({ item, size });
      this.#wake?.();
    }
  }

  flowStopped(kind: unknown, error?: unknown): void {
    this.#end(kind === "error" ? { error: error ?? new Error("the far fount failed") } : {});
  }

  /** Settles when what the items flow to has finished. */
  async done(): Promise<void> {
    await this.#done;
    await this.#finish;
  }

  /** The connection is lost, or there is no such fount. */
  cut(error: unknown): void {
    this.#end({ error });
  }

  #end(how: { error?: unknown }): void {
    if (this.#ended) return;
    this.#ended = how;
    this.#control = undefined;
    this.#over();
    try {
      this.#wake?.();
    } catch (error) {
      report(error);
    }
  }
}

/** The drain that a far fount is asked to flow to. */
class Entrance extends Referenceable {
  readonly #inlet: Inlet;

  constructor(inlet: Inlet) {
    super();
    this.#inlet = inlet;
  }

  flowingFrom(control: Far): Referenceable {
    this.#inlet.begin(control);
    return this.#inlet;
  }
}

/** About as many bytes as a value has on the wire. */
function sizeOf(value: unknown, depth = 64): number {
  if (typeof value === "string") return value.length + 8;
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) return value.byteLength + 8;
  if (typeof value !== "object" || value === null || depth === 0 || stateOf(value)) return 8;
  if (Array.isArray(value)) return value.reduce<number>((sum, part) => sum + sizeOf(part, depth - 1), 2);
  return Object.entries(value).reduce((sum, [key, part]) => sum + key.length + 8 + sizeOf(part, depth - 1), 2);
}
