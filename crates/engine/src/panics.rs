//! Panics of code that is not ours: caught, and told with their text and, where it is known, their place.
//!
//! What `catch_unwind` gives has no place; only the panic hook of the process learns it. A library must not install
//! one, so whoever owns the process may call [`record_panic`] in theirs.
//!
//! **Invariants.** A place is told only for the panic it was recorded for, on the same thread.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

/// What stands for a text that cannot be made.
pub(crate) const NO_TEXT: &str = "(no text: its Display panicked)";

/// The last panic of a thread, as its hook saw it.
struct Recorded {
    text: String,
    place: String,
}

thread_local! {
    static LAST: RefCell<Option<Recorded>> = const { RefCell::new(None) };
}

/// Keeps the place of a panic, so that the error about it can tell it: to be called in the panic hook of the
/// process. `App::main` installs such a hook; a program that runs applications as a library may do it in its own.
///
/// # Example
/// ```
/// let before = std::panic::take_hook();
/// std::panic::set_hook(Box::new(move |panic| {
///     wallaroo_engine::record_panic(panic);
///     before(panic);
/// }));
/// ```
pub fn record_panic(panic: &PanicHookInfo<'_>) {
    let Some(place) = panic.location() else {
        return;
    };
    let recorded = Recorded {
        text: text_of(panic.payload()),
        place: place.to_string(),
    };
    // A thread that is ending may panic in a destructor, when the place to keep it in has gone.
    let _ = LAST.try_with(|last| last.replace(Some(recorded)));
}

/// The text of a panic, and its place if that was recorded.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = text_of(payload);
    let last = LAST.try_with(RefCell::take).ok().flatten();
    match last {
        Some(recorded) if recorded.text == text => format!("{text}, at {}", recorded.place),
        Some(_) | None => text,
    }
}

/// Calls code that is not ours; a panic becomes its text.
pub(crate) fn caught<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| panic_text(payload.as_ref()))
}

fn text_of(payload: &dyn Any) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}
