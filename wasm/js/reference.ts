// What promises and far references have in common: the proxies through which they are used.
import * as tape from "./tape.js";
import { STATE, type Origin, type Remote, stateOf } from "./values.js";
import { ENOUGH, NOTHING, output, wasm } from "./wasm.js";

/** What proxies stand before. It is shared, so nothing may be set on it. */
const target = () => {};
Object.defineProperty(target, Symbol.for("nodejs.util.inspect.custom"), {
  value(this: unknown) {
    return stateOf<Base>(this)?.describe() ?? "[remote]";
  },
  configurable: true,
});

/** Names that are answered here: asking for one of them is how other code finds out what it deals with. */
const own = new Set(["then", "catch", "finally", "constructor", "prototype", "toJSON", "toString", "valueOf", "inspect",
  "$$typeof", ...Object.getOwnPropertyNames(Object.prototype)]);

/** Those of them that any object answers. */
const harmless = new Set(["constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "valueOf"]);

/** Something that takes messages. A selector of null is a call of the thing itself. */
export interface Sender extends Remote {
  /** Sends a message; returns the proxy of the promise for its result. */
  send(selector: string | null, args: unknown[]): unknown;
  /** Sends a message whose result nobody wants. */
  sendOnly(selector: string | null, args: unknown[]): void;
  /** From now on the proxy has no methods but those that begin with an underscore. */
  turnMagicOff(): void;
}

/** The core's selector for a part of a value. */
export const GET = "marotte:get";

/** What promises and references have in common. The states are their own proxies' handlers: one object less a call. */
export abstract class Base implements Sender {
  readonly isPromise: boolean = false;
  /** What users hold. */
  readonly proxy: unknown = new Proxy(target, this as ProxyHandler<typeof target>);

  constructor(readonly tub: Origin) {}

  abstract describe(): string;
  abstract write(from: Origin, depth: number): void;
  abstract send(selector: string | null, args: unknown[]): unknown;
  abstract sendOnly(selector: string | null, args: unknown[]): void;
  abstract turnMagicOff(): void;
  /** A property that is not a method of the far object. */
  abstract property(key: string | symbol): unknown;

  // The traps.

  get(_target: unknown, key: string | symbol): unknown {
    if (typeof key === "symbol" || own.has(key) || key.charCodeAt(0) === 95) {
      if (key === STATE) return this;
      if (key === "toString" || (key === Symbol.toPrimitive && !this.isPromise)) return () => this.describe();
      return this.property(key) ?? (typeof key === "string" && harmless.has(key) ? Reflect.get(Object.prototype, key) : undefined);
    }
    return this.method(key);
  }

  /** What a name that may be remote stands for. */
  protected method(key: string): unknown {
    return (...args: unknown[]) => this.send(key, args);
  }

  apply(_target: unknown, _this: unknown, args: unknown[]): unknown {
    return this.send(null, args);
  }

  set(): boolean {
    throw new TypeError("nothing can be set on a remote reference: call a method of it instead");
  }

  defineProperty(): boolean {
    return false;
  }

  deleteProperty(): boolean {
    return false;
  }

  setPrototypeOf(): boolean {
    return false;
  }

  preventExtensions(): boolean {
    return false;
  }
}

/** The tub that the tape being read belongs to. */
export const current: { tub: Origin } = { tub: undefined as unknown as Origin };

/** Ends the tape that began at `start`, and sends the message on it. */
export function deliver(tub: Origin, start: number, wantsResult: boolean, to: number, slot: number): number {
  const length = tape.end(start);
  if (length > tub.maxBytes) throw new TypeError(`the arguments take more than ${tub.maxBytes} bytes`);
  let handle: number;
  if (to >= 0) handle = (wantsResult ? wasm.call(to, start, length) : wasm.call_only(to, start, length)) >>> 0;
  else handle = wasm.call_object(tub.number, slot, wantsResult as unknown as number, start, length) >>> 0;
  if (length > 1 << 20) tape.shrink();
  if ((output.waiting += length) > ENOUGH) output.flush();
  if (handle === NOTHING) throw new TypeError("this reference has been disposed of, or an argument cannot be encoded");
  return handle;
}
