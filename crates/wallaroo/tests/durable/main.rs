//! Applications with a store, through the public API.

mod image;
mod recovering;
mod sending;
mod slow;
mod staged;
