// References that can be written down.
import * as tape from "./tape.js";
import { wasm } from "./wasm.js";

/** What a URI says. */
export interface Parsed {
  transport: string;
  designator: string;
  /** The swiss number, a character for each byte. */
  swiss: string;
  hints: Record<string, string>;
}

/** Throws a `TypeError` if it is none. */
export function parse(uri: string): Parsed {
  const start = tape.begin();
  tape.putText(tape.STR, uri);
  wasm.parse_uri(start, tape.end(start));
  tape.read(wasm.result_address());
  const transport = tape.getString();
  if (transport === undefined) {
    throw new TypeError(tape.getString() ?? "not an ocapn:// reference");
  }
  const [designator, swiss] = [tape.getString() ?? "", tape.getString() ?? ""];
  return { transport, designator, swiss, hints: tape.get() as Record<string, string> };
}

/**
 * A reference that can be written down: where a peer is, and the number by which it knows an object. It can be passed as
 * it is; whoever gets it may fetch the object, by {@link Tub.getReference}.
 *
 * `String(sturdy)` is the URI, which is a secret; whatever prints it otherwise shows none.
 *
 * @example
 * ```ts
 * const sturdy = await directory.find("status");
 * localStorage.setItem("status", String(sturdy));
 * const status = tub.getReference(sturdy);
 * ```
 */
export class SturdyRef {
  /** The URI, or the record that has come for it. */
  #said: string | Uint8Array;

  /** Throws a `TypeError` if the URI is not one of an object. */
  constructor(uri: string | Uint8Array) {
    this.#said = uri;
    if (typeof uri === "string") parse(uri);
  }

  /** The URI. */
  toString(): string {
    if (typeof this.#said !== "string") {
      const start = tape.begin();
      tape.putBytes(this.#said);
      wasm.sturdy_uri(start, tape.end(start));
      tape.read(wasm.result_address());
      this.#said = tape.getString() ?? "";
    }
    return this.#said;
  }
}

tape.references.sturdy = (record) => new SturdyRef(record);
