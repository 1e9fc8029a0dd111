// The errors that calls end with.

/**
 * The far side failed: it threw, or it could not do what was asked. The message is the far side's own, by
 * convention `Type: text`.
 *
 * @example
 * ```ts
 * try {
 *   await status.getBuilder("no such builder");
 * } catch (error) {
 *   if (error instanceof RemoteError) console.log(error.type, error.message); // "KeyError", "KeyError: no such builder"
 * }
 * ```
 */
export class RemoteError extends Error {
  /** What the far side gave as its reason, where that was not an error but another value. */
  declare readonly reason?: unknown;
  /** The type of the far side's error, as its language calls it, such as `"KeyError"`, if the message begins with one. */
  declare readonly type?: string;
  /** Where it happened, as the far side's language tells it, if the far side lets its peers see that (`tracebacks`). */
  declare readonly traceback?: string;

  constructor(message: string, reason?: unknown) {
    super(message);
    if (reason !== undefined) Object.defineProperty(this, "reason", { value: reason });
  }
}
Object.defineProperty(RemoteError.prototype, "name", { value: "RemoteError" });

/**
 * The connection that carried the reference is gone; the message says to whom, and why. Every call that waited for
 * an answer ends so, and so does every later use of the connection's references: get new ones by
 * {@link Tub.getReference}.
 *
 * @example
 * ```ts
 * try {
 *   await status.getBuilder("linux");
 * } catch (error) {
 *   if (error instanceof DisconnectedError) status = tub.getReference(uri);
 * }
 * ```
 */
export class DisconnectedError extends Error {}
Object.defineProperty(DisconnectedError.prototype, "name", { value: "DisconnectedError" });

/**
 * Reports a failure that nobody looks at, on the console. Not as an unhandled rejection: that would end a Node
 * process, and one peer that hangs up must not end a server.
 */
export function report(error: unknown): void {
  console.error("marotte: a promise broke and nobody looked at it (await it, or use _except or sendOnly):", error);
}
