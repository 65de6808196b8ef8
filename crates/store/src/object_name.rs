//! Names of segments and outboxes: `data/G-E-NONCE.seg` and `outbox/G-E-NONCE.out`.
//!
//! **Invariants.** A name says which generation may write the object, and so whether it can still become part of a commit.

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// State objects.
    Segment,
    /// Output that is not yet published.
    Outbox,
}

/// The parts of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// What it holds.
    pub kind: ObjectKind,
    /// Who writes it.
    pub generation: u64,
    /// The epoch for which it was written; of a merged segment the last.
    pub epoch: u64,
    /// Random.
    pub nonce: u128,
}

impl ObjectKind {
    /// Both.
    pub const ALL: [ObjectKind; 2] = [ObjectKind::Segment, ObjectKind::Outbox];

    /// Where objects of this kind are.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            ObjectKind::Segment => "data/",
            ObjectKind::Outbox => "outbox/",
        }
    }

    fn ending(self) -> &'static str {
        match self {
            ObjectKind::Segment => ".seg",
            ObjectKind::Outbox => ".out",
        }
    }
}

impl ObjectName {
    /// The parts of a name; none if it is not such a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        ObjectKind::ALL.into_iter().find_map(|kind| {
            let middle = name
                .strip_prefix(kind.folder())?
                .strip_suffix(kind.ending())?;
            let mut parts = middle.split('-');
            let found = ObjectName {
                kind,
                generation: parts.next()?.parse().ok()?,
                epoch: parts.next()?.parse().ok()?,
                nonce: u128::from_str_radix(parts.next()?, 16).ok()?,
            };
            (found.to_string() == name).then_some(found)
        })
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}{:020}-{:020}-{:032x}{}",
            self.kind.folder(),
            self.generation,
            self.epoch,
            self.nonce,
            self.kind.ending()
        )
    }
}
