//! Common mistakes, and what the compiler says of them: each message must tell the fix.

#[test]
fn common_mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/compile_errors/*.rs");
}
