// The tape: how values cross to and from WebAssembly, in one pass. The other end, and the layout, is
// wasm/src/tape.rs.
import { RemoteError, DisconnectedError } from "./errors.js";
import { bytes, numbers, refresh, wasm } from "./wasm.js";

export const NULL = 0, VOID = 1, FALSE = 2, TRUE = 3, INT32 = 4, INT53 = 5, FLOAT = 6, BIGINT = 7, STR = 8, BYTES = 9,
  ERROR = 10, LIST = 11, END_LIST = 12, DICT = 13, END_DICT = 14, KEY = 15, OBJECT = 16, FAR = 17, PROMISE = 18,
  ASCII = 19, STURDY = 20, REMOTE = 32, DISCONNECTED = 33, MISUSE = 34, REASON = 35;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

// Writing. The tape is a buffer in linear memory; where it stands may change when it grows. A tape may be begun while
// another is being written (a getter that makes a call): it then stands behind.

/** Where the tape begins, where it ends, and where the next byte goes. */
let base = 0, limit = 0, at = 0;

/** Begins a tape; returns where, as an offset that stays right when the tape moves. */
export function begin(): number {
  if (bytes.length === 0) refresh();
  return at - base;
}

/** Ends the tape that began at `start` and returns its length. It may be read until the next one begins. */
export function end(start: number): number {
  const length = at - base - start;
  at = base + start;
  return length;
}

/** Gives a large tape's memory back. */
export function shrink(): void {
  if (limit - base <= 1 << 20 || at !== base) return;
  wasm.tape_shrink();
  base = limit = at = 0;
}

/** Makes room for `count` more bytes. */
function room(count: number): void {
  // Where memory has grown the tape still stands where it stood.
  if (bytes.length === 0) refresh();
  if (at + count <= limit) return;
  const offset = at - base;
  const length = Math.max(256, offset + count, 2 * (limit - base));
  base = wasm.tape_reserve(length) >>> 0;
  refresh();
  at = base + offset;
  limit = base + length;
}

export function putTag(tag: number): void {
  room(1);
  bytes[at++] = tag;
}

/** A tag and a `u32`: an object's slot, or a handle. */
export function putNumbered(tag: number, number: number): void {
  room(5);
  bytes[at++] = tag;
  numbers.setUint32(at, number, true);
  at += 4;
}

export function putNumber(value: number): void {
  room(9);
  const small = value | 0;
  // Minus zero is a float: no integer is like it.
  if (small === value && (value !== 0 || 1 / value > 0)) {
    bytes[at] = INT32;
    bytes[at + 1] = small;
    bytes[at + 2] = small >> 8;
    bytes[at + 3] = small >> 16;
    bytes[at + 4] = small >> 24;
    at += 5;
    return;
  }
  bytes[at] = Number.isSafeInteger(value) && value !== 0 ? INT53 : FLOAT;
  numbers.setFloat64(at + 1, value, true);
  at += 9;
}

export function putText(tag: number, text: string): void {
  const length = text.length;
  if (length <= 64) {
    room(5 + 3 * length);
    const start = at + 5;
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) break;
      bytes[start + i] = code;
    }
    if (i === length) return text_end(tag, length);
  } else {
    room(5 + 3 * length);
  }
  text_end(tag, encoder.encodeInto(text, bytes.subarray(at + 5, limit)).written);
}

function text_end(tag: number, length: number): void {
  bytes[at] = tag;
  numbers.setUint32(at + 1, length, true);
  at += 5 + length;
}

export function putBytes(value: Uint8Array): void {
  room(5 + value.length);
  bytes.set(value, at + 5);
  text_end(BYTES, value.length);
}

// Reading. While a tape is read, no code runs but this and the making of references.

/** The next byte to read. */
let from = 0;

/** Begins to read at an address. */
export function read(address: number): void {
  if (bytes.length === 0) refresh();
  from = address >>> 0;
}

/** Where reading has got to. */
export function position(): number {
  return from;
}

export function getUint32(): number {
  const value = numbers.getUint32(from, true);
  from += 4;
  return value;
}

export function getByte(): number {
  return bytes[from++]!;
}

/** Makes references of their numbers; set by the modules that know how. */
export const references = {
  object: (_slot: number): unknown => undefined,
  far: (_handle: number): unknown => undefined,
  promise: (_handle: number): unknown => undefined,
  /** Of its record. */
  sturdy: (_record: Uint8Array): unknown => undefined,
};

/** Reads text after its tag, ASCII or STR. */
function getText(tag: number): string {
  const start = numbers.getUint32(from, true);
  const length = numbers.getUint32(from + 4, true);
  from += 8;
  if (tag === ASCII && length <= 24) {
    let text = "";
    for (let i = start, end = start + length; i < end; i++) text += String.fromCharCode(bytes[i]!);
    return text;
  }
  return decoder.decode(bytes.subarray(start, start + length));
}

/** Reads text with its tag; `undefined` if something else stands there. */
export function getString(): string | undefined {
  const tag = bytes[from++]!;
  return tag === ASCII || tag === STR ? getText(tag) : undefined;
}

/** Reads one value. */
export function get(): unknown {
  const tag = bytes[from++]!;
  switch (tag) {
    case NULL: return null;
    case VOID: return undefined;
    case FALSE: return false;
    case TRUE: return true;
    case INT32: {
      const value = numbers.getInt32(from, true);
      from += 4;
      return value;
    }
    case INT53:
    case FLOAT: {
      const value = numbers.getFloat64(from, true);
      from += 8;
      return value;
    }
    case BIGINT: {
      const negative = bytes[from++] === 1;
      const size = BigInt(getString() ?? 0);
      return negative ? -size : size;
    }
    case ASCII:
    case STR: return getText(tag);
    case BYTES: {
      const start = getUint32();
      return bytes.slice(start, start + getUint32());
    }
    case STURDY: {
      const start = getUint32();
      return references.sturdy(bytes.slice(start, start + getUint32()));
    }
    case ERROR: return new RemoteError(getString() ?? "");
    case LIST: {
      const list: unknown[] = [];
      while (bytes[from] !== END_LIST) list.push(get());
      from++;
      return list;
    }
    case DICT: {
      const dict: Record<string, unknown> = {};
      while (bytes[from++] === KEY) {
        const key = getString() ?? "";
        const value = get();
        if (key !== "__proto__") dict[key] = value;
        else Object.defineProperty(dict, key, { value, writable: true, enumerable: true, configurable: true });
      }
      return dict;
    }
    case OBJECT: return references.object(getUint32());
    case FAR: return references.far(getUint32());
    case PROMISE: return references.promise(getUint32());
    default: throw new Error(`marotte: unknown tag ${tag}`);
  }
}

/** Reads a failure. */
export function getFailure(): Error {
  const tag = bytes[from++]!;
  if (tag === REASON) {
    const reason = get();
    return new RemoteError(typeof reason === "string" ? reason : "the far side gave a reason that is not an error", reason);
  }
  const message = getString() ?? "";
  if (tag === DISCONNECTED) return new DisconnectedError(message);
  if (tag === MISUSE) return new TypeError(message);
  const error = new RemoteError(message);
  const type = getString();
  const traceback = getString();
  if (type) Object.defineProperty(error, "type", { value: type });
  if (traceback) Object.defineProperty(error, "traceback", { value: traceback });
  return error;
}
