use crate::scenario;

/// The sender and the receiver of the message are in the process too.
#[test]
fn a_message_of_64_mb_comes_through_when_the_limit_allows_it() {
    let report = scenario("large-message", 2);
    assert_eq!(report.fact("received"), 1);
}
