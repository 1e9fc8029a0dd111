//! A panic is a bug of ours. JavaScript would see no more than "unreachable"; this says what and
//! where.

use wasm_bindgen::prelude::wasm_bindgen;

/// Runs when the module is started.
#[wasm_bindgen(start)]
pub fn install() {
    std::panic::set_hook(Box::new(|panic| {
        let error = js_sys::Error::new(&format!(
            "an internal error of marotte; reload it, and please report this: {panic}"
        ));
        error.set_name("MarottePanic");
        wasm_bindgen::throw_val(error.into());
    }));
}
