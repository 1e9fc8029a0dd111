// The public interface, the same in every environment.
export { Deferred, fail, maybeDeferred, succeed } from "./deferred.js";
export {
  AlreadyCalledError, CancelledError, FailureGroup, FirstError, QueueOverflow, QueueUnderflow, TimeoutError,
} from "./deferred-errors.js";
export type { Clock, TimeoutOptions } from "./deferred-rungs.js";
export { DeferredList, type ListOptions, type ListOutcome, type ListResult, gatherResults, race } from "./deferred-several.js";
export { DeferredLock, DeferredQueue, DeferredSemaphore } from "./deferred-sharing.js";
export { DisconnectedError, RemoteError } from "./errors.js";
export { type NearCalls, type Resolver, type SendOptions, makePromise, promiseFor, send, sendOnly, state, when } from "./eventual.js";
export { FlowStopped, type FlowWindow, readableOf, writableOf } from "./flows.js";
export { Referenceable, callSignal } from "./objects.js";
export type { ListenOptions, Listener } from "./platform.js";
export { type ReconnectOptions, Reconnector } from "./reconnector.js";
export { SturdyRef } from "./sturdy.js";
export { type Limits, type Stats, Tub, type TubOptions } from "./tub.js";
export { eventually, fireEventually, flushEventualQueue } from "./turns.js";
export type { Argument, Arrived, DisconnectWatcher, Part, Remote, RemotePromise, RemoteReference, Whole } from "./types.js";
