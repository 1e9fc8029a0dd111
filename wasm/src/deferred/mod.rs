//! Deferreds for JavaScript: the ladders of `marotte::deferred`, by number.
//!
//! What the numbers stand for (values, callbacks, Deferreds) lives in JavaScript, on the Deferreds
//! themselves (`wasm/js/deferred.ts`): its collector would not see through a table in here, and two
//! Deferreds that refer to one another would never go. So nothing in here is owned: a ladder is a
//! few bytes under a number that JavaScript chose, overwritten when the number is used again.
//!
//! | file | holds |
//! |---|---|
//! | `host.rs` | `impl deferred::Host for JsDeferreds`, and the ladders |
//! | `ladder.rs` | what JavaScript calls to run one |
//! | `several.rs` | waiting for several: what `DeferredList`, `gatherResults` and `race` call |
//! | `sharing.rs` | what `DeferredLock`, `DeferredSemaphore` and `DeferredQueue` call |

mod host;
mod ladder;
mod several;
mod sharing;

pub use ladder::*;
pub use several::*;
pub use sharing::*;
