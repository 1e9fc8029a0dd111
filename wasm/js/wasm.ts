// The module's exports and its memory.
import type { InitOutput } from "./marotte_wasm.js";

/** The exports of the WebAssembly module: functions of numbers, see wasm/src/exports.rs. */
export let wasm: InitOutput;
/** The whole linear memory. When memory grows the view has length 0: see {@link refresh}. */
export let bytes = new Uint8Array(0);
/** The same memory. */
export let numbers = new DataView(new ArrayBuffer(0));

/** What functions return instead of a number when a tape was bad or what was named is not there. */
export const NOTHING = 0xffffffff;

/** Bytes that were handed over since output was last written, about; and how to write it, whatever connection it is for. */
export const output = { waiting: 0, flush: (): void => {} };
/** With this much waiting, the peer may as well begin to read. */
export const ENOUGH = 64 << 10;

/** Takes the instance into use. */
export function start(exports: InitOutput): void {
  wasm = exports;
  refresh();
}

/** Looks at the memory again, after it may have grown. */
export function refresh(): void {
  if (bytes.length !== 0) return;
  bytes = new Uint8Array(wasm.memory.buffer);
  numbers = new DataView(wasm.memory.buffer);
}

const collected = new FinalizationRegistry<[drop: (number: number) => void, number: number]>(([drop, number]) => drop(number));

/** Has a number dropped once its owner is gone. (No closures: one that is made where the owner is known would hold it.) */
export function dropWith(owner: object, drop: (number: number) => void, number: number): void {
  collected.register(owner, [drop, number]);
}
