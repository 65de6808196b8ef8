//! Names that were meant.
//!
//! **Invariants.** What is suggested is one of the known names.

/// The known name that `given` was probably meant to be.
pub(super) fn closest<'a>(given: &str, known: &'a [String]) -> Option<&'a str> {
    let nearest = known
        .iter()
        .map(|name| (distance(given, name), name))
        .min_by_key(|(distance, _)| *distance)?;
    // A third of the letters may be wrong; more is another word.
    let close = given.chars().count().max(3) / 3;
    (nearest.0 <= close).then_some(nearest.1.as_str())
}

/// The fewest letters to insert, remove or replace to make one word the other (Levenshtein 1966), upper and lower
/// case being the same.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, against) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *against);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_right_is_found() {
        let known = ["ticks", "orders", "quotes"].map(str::to_owned);
        let meant = ["tick", "Orders", "qoutes", "x", ""].map(|given| closest(given, &known));
        assert_eq!(
            meant,
            [Some("ticks"), Some("orders"), Some("quotes"), None, None]
        );
    }
}
