// Turns: functions that run one after the other, each to its end, after what is running now.
import { report } from "./errors.js";
import { platform } from "./platform.js";
import { readEvents } from "./events.js";
import { Tub } from "./tub.js";
import { wasm } from "./wasm.js";

/** Where objects live that no tub knows, and whose turns are. */
let home: Tub | undefined;

/** The tub of those who have none. */
export function homeTub(): Tub {
  return (home ??= new Tub());
}

/** Turns in a row, before sockets are read and written. */
export const TURNS = 256;
/** True while somebody will run them. */
let willRun = false;

/** Runs the turns that wait, in a job of their own. */
export function runTurnsSoon(): void {
  if (willRun) return;
  willRun = true;
  queueMicrotask(runTurns);
}

/** Runs them in a task of their own, so that sockets are read and written in between. */
export function runTurnsLater(): void {
  if (willRun) return;
  willRun = true;
  platform.later(runTurns);
}

function runTurns(): void {
  // More turns are run below: a job of their own would let nothing else have its say.
  wasm.run_turns(TURNS);
  willRun = false;
  readEvents();
  if (wasm.has_turns()) runTurnsLater();
}

const waiting: ((() => void) | undefined)[] = [];
const free: number[] = [];

/** Runs `f` in a turn of the home tub's; `f` must not throw. */
export function inTurn(f: () => void): void {
  const number = free.pop() ?? waiting.length;
  waiting[number] = f;
  wasm.eventually(homeTub().number, number);
}

/** The turn of that number has come. */
export function turn(number: number): void {
  const f = waiting[number];
  waiting[number] = undefined;
  free.push(number);
  f?.();
}

/**
 * Calls `f(...args)` in a turn of its own, after all that wait already. What it throws is reported, and the next turn
 * runs.
 *
 * @example
 * ```ts
 * eventually(console.log, "second");
 * console.log("first");
 * ```
 */
export function eventually<A extends unknown[]>(f: (...args: A) => unknown, ...args: A): void {
  inTurn(() => {
    try {
      const result = f(...args);
      // What an async function throws is reported as well.
      if (result instanceof Promise) result.catch(report);
    } catch (error) {
      report(error);
    }
  });
}

/**
 * A native promise that is fulfilled with `value` in a later turn.
 *
 * @example
 * ```ts
 * await fireEventually(); // let what waits run first
 * ```
 */
export function fireEventually<T = void>(value?: T): Promise<T> {
  return new Promise((resolve) => inTurn(() => resolve(value as T)));
}

/**
 * A native promise that is fulfilled when no turn waits any more, those included that turns cause.
 *
 * @example
 * ```ts
 * send(counter).increment();
 * await flushEventualQueue();
 * ```
 */
export function flushEventualQueue(): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (wasm.has_turns()) inTurn(look);
      else resolve();
    };
    inTurn(look);
  });
}
