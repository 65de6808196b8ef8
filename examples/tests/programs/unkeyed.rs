//! A program whose state has no `key_by` before it, for the tests of the command line.

use serde::{Deserialize, Serialize};
use wallaroo::{App, State, iter, source, stdout};

#[derive(Default, Serialize, Deserialize)]
struct Sum(u64);

fn main() {
    let sums = State::<Sum>::new("sums");
    App::new("unkeyed")
        .add(
            source("numbers", iter(1..=3u64))
                .to_state(&sums, |sum: &mut Sum, number: &u64| {
                    sum.0 += number;
                    Some(sum.0)
                })
                .named("add")
                .to_sink("sums", stdout().lines()),
        )
        .main();
}
