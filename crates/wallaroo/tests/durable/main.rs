//! Applications with a store, through the public API.

mod gated;
mod idle;
mod image;
mod loading;
mod pace;
mod recovering;
mod sending;
mod slow;
mod sql;
mod staged;
mod taken_over;
mod watched;
