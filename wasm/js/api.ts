// The public interface, the same in every environment.
export { DisconnectedError, RemoteError } from "./errors.js";
export { Referenceable } from "./objects.js";
export type { ListenOptions, Listener } from "./platform.js";
export { send, sendOnly, when } from "./send.js";
export { type Limits, type Stats, Tub, type TubOptions } from "./tub.js";
export type { Argument, Arrived, RemotePromise, RemoteReference } from "./types.js";
