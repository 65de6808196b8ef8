//! Where the ways of messages part and meet again inside a region.
//!
//! At such places the executor works as a loop would, so that messages keep their order: see
//! [`Turns`](crate::executor::Turns).
//!
//! **Invariants.** Ways meet where both reach one node, stages of one state, or one edge. What happens beyond
//! an edge does not count: different edges keep no order between them.

use std::collections::BTreeSet;

use wallaroo_core::{NodeId, NodeKind, Plan, Port};

use super::{Consumer, EdgeIndex, Layout};

/// A place that messages reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Node(NodeId),
    State(&'a str),
    Edge(EdgeIndex),
}

impl Layout {
    /// Whether two of these ways meet again in the region in which they begin. A way is given by those who
    /// take its messages first.
    pub(crate) fn meet<'a>(
        &self,
        plan: &Plan,
        ways: impl IntoIterator<Item = &'a [Consumer]>,
    ) -> bool {
        let mut reached = BTreeSet::new();
        ways.into_iter().any(|way| {
            let places = self.places(plan, way);
            let meets = !reached.is_disjoint(&places);
            reached.extend(places);
            meets
        })
    }

    fn places<'p>(&self, plan: &'p Plan, consumers: &[Consumer]) -> BTreeSet<Place<'p>> {
        let mut places = BTreeSet::new();
        let mut open = consumers.to_vec();
        while let Some(consumer) = open.pop() {
            let node = match consumer {
                Consumer::Look(node) | Consumer::Take(node) => node,
                Consumer::Edge(edge) => {
                    places.insert(Place::Edge(edge));
                    continue;
                }
            };
            if !places.insert(Place::Node(node)) {
                continue;
            }
            if let NodeKind::State { state, .. } = &plan.node(node).kind {
                places.insert(Place::State(state));
            }
            let port = |output| Port { node, output };
            let behind = self.consumers.range(port(0)..=port(u16::MAX));
            open.extend(behind.flat_map(|(_, consumers)| consumers.iter().copied()));
        }
        places
    }
}
