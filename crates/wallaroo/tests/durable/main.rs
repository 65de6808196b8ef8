//! Applications with a store, through the public API.

mod image;
mod sending;
mod staged;
