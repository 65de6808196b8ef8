//! What the types that flow through an application must be able to do.
//!
//! **Invariants.** The traits have no methods: every type that meets their bounds implements them.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message: anything with serde's `Serialize` and `Deserialize` that owns its data.
///
/// Messages are serialized when an error text or a dead letter shows them. Of types that own memory, a few messages of
/// each batch are serialized to learn how large they are.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a message",
    note = "a message owns its data, is `Send`, and derives serde's `Serialize` and `Deserialize`"
)]
pub trait Message: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Message for T {}

/// A state object: anything with serde's `Serialize` and `Deserialize`, and `Default`, that owns its data.
///
/// The default is the object of a key that has not been seen before.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a state object",
    note = "a state object owns its data, is `Send`, implements `Default`, and derives serde's `Serialize` and `Deserialize`"
)]
pub trait StateObject: Serialize + DeserializeOwned + Default + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Default + Send + 'static> StateObject for T {}
