// What WebAssembly calls; see wasm/src/imports.rs. Nothing here may throw: Rust would not be told.
import { idle, wake } from "./connection.js";
import { host } from "./deferred.js";
import { callLocal, freeSlot, objectIn, withCall } from "./objects.js";
import { isThenable } from "./near.js";
import { PromiseState } from "./promise.js";
import { current } from "./reference.js";
import * as tape from "./tape.js";
import { Tub, cancelled } from "./tub.js";
import { runTurnsSoon, turn } from "./turns.js";
import { putFailure, putValue, stateOf } from "./values.js";
import { ENOUGH, NOTHING, bytes, output, refresh, wasm } from "./wasm.js";

export { cancelled, idle, turn, wake };
export { runTurnsSoon as schedule_turns };
export { freeSlot as free_object };

// What Deferreds are told; they know.

export function deferred_call(link: number, number: number, failed: boolean): number {
  return host.call(link, number, failed);
}

export function deferred_ask_canceller(link: number): boolean {
  return host.askCanceller(link);
}

export function deferred_fire_cancelled(link: number): boolean {
  return host.fireCancelled(link);
}

export function deferred_cancel_foreign(link: number): number {
  return host.cancelForeign(link);
}

export function deferred_handed_on(from: number, to: number): void {
  host.handedOn(from, to);
}

export function deferred_failure_rests(link: number, rests: boolean): void {
  host.failureRests(link, rests);
}

export function deferred_set_alarm(link: number, number: number): boolean {
  return host.setAlarm(link, number);
}

export function deferred_rang(): void {
  host.rang();
}

const decoder = new TextDecoder();

/** Microseconds since 1970. */
export function now_us(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}

/** Connects to a peer that another one has introduced. */
export function dial(number: number, peerAt: number, peerLength: number, urlAt: number, urlLength: number): number {
  return Tub.numbered(number)?.dial(text(peerAt, peerLength), text(urlAt, urlLength).split("\n").filter(Boolean)) ?? NOTHING;
}

function text(at: number, length: number): string {
  refresh();
  return decoder.decode(bytes.subarray(at >>> 0, (at >>> 0) + length));
}

/** Delivers the message on the tape to an object, and replies. */
export function invoke(number: number, slot: number, address: number, length: number): void {
  const tub = Tub.numbered(number);
  if (!tub) return;
  // What earlier calls of the same batch gave.
  if (output.waiting > ENOUGH) output.flush();
  let start: number;
  try {
    current.tub = tub;
    const end = (address >>> 0) + length;
    tape.read(address);
    const selector = tape.getString() ?? null;
    const args: unknown[] = [];
    while (tape.position() < end) args.push(tape.get());
    let abort: ((reason: unknown) => void) | undefined;
    const result = withCall(() => callLocal(objectIn(slot), selector, args), (means) => (abort = means));
    const state = stateOf(result);
    if (state instanceof PromiseState) start = tub.adoptedOwn(state, abort);
    else start = isThenable(result) ? tub.adopted(result, abort) : putValue(result, "result", tub);
  } catch (error) {
    try {
      start = putFailure(error, tub);
      wasm.reply_failure(start, tape.end(start));
    } catch {
      // Even saying what is wrong went wrong: the core says that there was no answer.
    }
    return;
  }
  const size = tape.end(start);
  wasm.reply(start, size);
  output.waiting += size;
  if (size > 1 << 20) tape.shrink();
}
