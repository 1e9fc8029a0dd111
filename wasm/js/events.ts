// What the core tells of promises, and the order in which things follow from one another.
import { RemoteError, report } from "./errors.js";
import { current } from "./reference.js";
import * as tape from "./tape.js";
import type { Origin } from "./values.js";
import { wasm } from "./wasm.js";

/** What waits to be done, in order, and whether somebody does it. */
const steps: (() => void)[] = [];
let isBusy = false;

/**
 * Does `step` after all that was to be done before: at once, or when what is being done now has ended. Promises that
 * settle because of one another do so one after the other, not inside each other: their chain may be longer than any stack.
 */
export function inOrder(step: () => void): void {
  steps.push(step);
  if (!isBusy) doSteps();
}

function doSteps(): void {
  isBusy = true;
  for (let next = 0; next < steps.length; next++) {
    try {
      steps[next]!();
    } catch (error) {
      reportLater(error);
    }
    // What is done is not to be held by what follows, however long that is.
    if (next === 1000) {
      steps.splice(0, next);
      next = 0;
    }
  }
  steps.length = 0;
  isBusy = false;
}

/** Reports in a job of its own: whatever the console does, what waits is done. */
function reportLater(error: unknown): void {
  queueMicrotask(() => report(error));
}

/** Somebody whom the core tells of the end of a promise. */
export interface Listener {
  readonly tub: Origin;
  settle(broken: boolean, value: unknown): void;
  /** Messages go on through the promise: others are under way to what it has become, by a longer way. */
  hold?(): void;
}

/** Every promise that the core will settle, by handle. It will: its vat, or the end of the connection, sees to that. */
export const listeners: (Listener | undefined)[] = [];

/** Settles the promises that have ended, as the tape of events says. */
export function readEvents(): void {
  if (wasm.events_length() === 0) return;
  // Nothing follows from it before all is read, and the handles of what has ended are free.
  if (isBusy) return readAll();
  isBusy = true;
  try {
    readAll();
  } finally {
    doSteps();
  }
}

function readAll(): void {
  const length = wasm.events_length();
  const end = (wasm.events_address() >>> 0) + length;
  tape.read(end - length);
  while (tape.position() < end) {
    const handle = tape.getUint32();
    const listener = listeners[handle];
    if (listener) current.tub = listener.tub;
    listeners[handle] = undefined;
    const how = tape.getByte();
    if (how === 2) {
      if (listener?.hold) listener.hold();
      else wasm.drop_handle(handle);
    }
    let broken = how === 1;
    let value = broken ? tape.getFailure() : tape.get();
    // Awaiting it would call what the peer put there.
    if (typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function") {
      broken = true;
      value = new RemoteError("TypeError: the result has a property \"then\" that is a reference");
    }
    listener?.settle(broken, value);
  }
  wasm.events_clear();
}
