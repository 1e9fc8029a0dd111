// Far references, and who wants to know when their connection ends.
import { report } from "./errors.js";
import { inOrder, listeners } from "./events.js";
import { objectIn } from "./objects.js";
import { RemotePromiseState } from "./promise.js";
import { Base, current, deliver } from "./reference.js";
import * as tape from "./tape.js";
import { type Origin, putMessage, stateOf } from "./values.js";
import { wasm } from "./wasm.js";

/** A far reference's proxy as a table holds it; `weak` tells it from a later one with the same handle. */
interface Held {
  handle: number;
  weak: WeakRef<FarState>;
}

const far: (Held | undefined)[] = [];
const collected = new FinalizationRegistry(letGo);

function letGo(held: Held): void {
  if (far[held.handle] !== held) return;
  far[held.handle] = undefined;
  wasm.drop_handle(held.handle);
}

export class FarState extends Base {
  disposed = false;

  constructor(tub: Origin, readonly handle: number) {
    super(tub);
  }

  override method(key: string): unknown {
    // As in Python: what programs written for Foolscap and Perspective Broker call.
    switch (key) {
      case "callRemote":
        return (name: string, ...args: unknown[]) => stateOf<RemotePromiseState>(this.send(name, args))!.deferred();
      case "callRemoteOnly":
        return (name: string, ...args: unknown[]) => this.sendOnly(name, args);
      case "notifyOnDisconnect":
        return (f: (reason: Error) => unknown) => this.watch(f);
      case "dontNotifyOnDisconnect":
        return (watcher: Watcher) => watcher.forget();
      default:
        return super.method(key);
    }
  }

  /** A reference is one way or the other already: its promises have the switch. */
  turnMagicOff(): void {}

  private watch(f: (reason: Error) => unknown): Watcher {
    return new Watcher(this.tub, this.usable(), f);
  }

  describe(): string {
    return "[RemoteReference]";
  }

  write(_from: Origin, _depth: number): void {
    tape.putNumbered(tape.FAR, this.usable());
  }

  usable(): number {
    if (this.disposed) throw new TypeError("this reference has been disposed of");
    return this.handle;
  }

  send(selector: string | null, args: unknown[]): unknown {
    const handle = deliver(this.tub, putMessage(selector, args, this.tub), true, this.usable(), 0);
    return RemotePromiseState.result(this.tub, handle).proxy;
  }

  sendOnly(selector: string | null, args: unknown[]): void {
    deliver(this.tub, putMessage(selector, args, this.tub), false, this.usable(), 0);
  }

  property(key: string | symbol): unknown {
    return key === Symbol.dispose ? () => this.dispose() : undefined;
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    const held = far[this.handle];
    if (held?.weak.deref() !== this) return;
    collected.unregister(this);
    // In a later job: the handle may stand on a tape that is not read yet.
    queueMicrotask(() => letGo(held));
  }
}

tape.references.far = (handle) => {
  const known = far[handle]?.weak.deref();
  if (known && !known.disposed) return known.proxy;
  const state = new FarState(current.tub, handle);
  const held = { handle, weak: new WeakRef(state) };
  far[handle] = held;
  collected.register(state, held, state);
  return state.proxy;
};

tape.references.object = (slot) => objectIn(slot);

/** Somebody who wants to know of the end of a connection. It is told once. */
class Watcher {
  private readonly told: number;
  private readonly number: number;

  constructor(readonly tub: Origin, private readonly handle: number, private f: ((reason: Error) => unknown) | undefined) {
    this.told = wasm.watch(handle) >>> 0;
    this.number = wasm.watched();
    listeners[this.told] = this;
  }

  settle(_broken: boolean, reason: unknown): void {
    const { f } = this;
    this.f = undefined;
    inOrder(() => {
      const result = f?.(reason as Error);
      if (result instanceof Promise) result.catch(report);
    });
  }

  forget(): void {
    if (!this.f) return;
    this.f = undefined;
    listeners[this.told] = undefined;
    wasm.unwatch(this.handle, this.told, this.number);
  }
}
