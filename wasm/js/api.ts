// The public interface, the same in every environment.
export { Deferred, fail, maybeDeferred, succeed } from "./deferred.js";
export {
  AlreadyCalledError, CancelledError, FailureGroup, FirstError, QueueOverflow, QueueUnderflow, TimeoutError,
} from "./deferred-errors.js";
export type { Clock, TimeoutOptions } from "./deferred-rungs.js";
export { DeferredList, type ListOptions, type ListOutcome, type ListResult, gatherResults, race } from "./deferred-several.js";
export { DeferredLock, DeferredQueue, DeferredSemaphore } from "./deferred-sharing.js";
export { DisconnectedError, RemoteError } from "./errors.js";
export { Referenceable } from "./objects.js";
export type { ListenOptions, Listener } from "./platform.js";
export { send, sendOnly, when } from "./send.js";
export { type Limits, type Stats, Tub, type TubOptions } from "./tub.js";
export type { Argument, Arrived, RemotePromise, RemoteReference } from "./types.js";
