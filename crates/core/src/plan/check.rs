//! The checks of a plan, and the levels between exchanges.
//!
//! For levels, all stages of one state count as one place: they run in one operator. A place is above another
//! when an edge leads there, one level higher when the edge crosses an exchange.
//!
//! **Invariants.** Edges never lead to a lower level, and exchanges lead to a higher one; this is what makes
//! the operators of the engine a DAG.

use super::{Node, NodeId, NodeKind, Plan, PlanError};
use crate::key::ANY_KIND;

/// Longest name of a stage, source, sink or state, in bytes.
// Long enough for a path-like name, short enough for a metric label.
const MAX_NAME_BYTES: usize = 255;

pub(super) fn check(plan: &Plan) -> Result<(), PlanError> {
    if !plan
        .nodes
        .iter()
        .any(|node| matches!(node.kind, NodeKind::Source))
    {
        return Err(PlanError::NoPipeline {
            application: plan.application.clone(),
        });
    }
    names(plan)?;
    for id in plan.ids() {
        if plan.node(id).kind == NodeKind::Merge {
            merge_keys(plan, id)?;
        }
    }
    for state in plan.states() {
        state_types(plan, state)?;
        state_paths(plan, state)?;
    }
    levels(plan).map(|_| ())
}

fn names(plan: &Plan) -> Result<(), PlanError> {
    for node in &plan.nodes {
        let name = &node.name;
        let well_formed = (1..=MAX_NAME_BYTES).contains(&name.len())
            && !name.chars().any(|c| c.is_control() || c == '=');
        if !well_formed {
            return Err(PlanError::Name {
                name: name.clone(),
                location: node.location.clone(),
            });
        }
    }
    // An encoder has its name from its sink, so the sink is told first.
    let (encoders, others): (Vec<&Node>, Vec<&Node>) = plan
        .nodes
        .iter()
        .partition(|node| node.kind == NodeKind::Encode);
    let named: Vec<&Node> = others.into_iter().chain(encoders).collect();
    for (index, node) in named.iter().enumerate() {
        if let Some(first) = named[..index].iter().find(|first| first.name == node.name) {
            return Err(PlanError::DuplicateName {
                name: node.name.clone(),
                first: first.location.clone(),
                second: node.location.clone(),
            });
        }
    }
    Ok(())
}

fn merge_keys(plan: &Plan, merge: NodeId) -> Result<(), PlanError> {
    let node = plan.node(merge);
    let keyed: Vec<bool> = node
        .inputs
        .iter()
        .map(|input| !plan.key_scopes(input.node).is_empty())
        .collect();
    if keyed.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(PlanError::MergeKeys {
            location: node.location.clone(),
        });
    }
    Ok(())
}

fn stages_of<'a>(plan: &'a Plan, state: &'a str) -> impl Iterator<Item = (NodeId, &'a Node)> {
    plan.ids().map(|id| (id, plan.node(id))).filter(
        move |(_, node)| matches!(&node.kind, NodeKind::State { state: name, .. } if name == state),
    )
}

fn state_types(plan: &Plan, state: &str) -> Result<(), PlanError> {
    let mut seen: Option<(&Node, &str)> = None;
    let mut seen_key: Option<(&Node, String)> = None;
    for (id, node) in stages_of(plan, state) {
        let NodeKind::State { state_type, .. } = &node.kind else {
            continue;
        };
        let (first, first_type) = *seen.get_or_insert((node, state_type));
        if first_type != state_type {
            return Err(PlanError::StateType {
                state: state.to_owned(),
                first_type: first_type.to_owned(),
                first: first.location.clone(),
                second_type: state_type.clone(),
                second: node.location.clone(),
            });
        }
        for scope in plan.key_scopes(id) {
            let key_type = match &plan.node(scope).kind {
                NodeKind::KeyBy { key_type } => key_type.clone(),
                _ => "the one key of collect".to_owned(),
            };
            let (first, first_type) = seen_key.get_or_insert_with(|| (node, key_type.clone()));
            // A host that has no types cannot say what kind of key it finds.
            if *first_type != key_type && first_type != ANY_KIND && key_type != ANY_KIND {
                return Err(PlanError::StateKeyType {
                    state: state.to_owned(),
                    first_type: first_type.clone(),
                    first: first.location.clone(),
                    second_type: key_type,
                    second: node.location.clone(),
                });
            }
        }
    }
    Ok(())
}

fn state_paths(plan: &Plan, state: &str) -> Result<(), PlanError> {
    for (from, node) in stages_of(plan, state) {
        let mut reached = vec![false; plan.nodes.len()];
        reached[from.index()] = true;
        for id in plan.ids().skip(from.index() + 1) {
            let later = plan.node(id);
            reached[id.index()] = later.inputs.iter().any(|input| reached[input.node.index()]);
            if reached[id.index()]
                && matches!(&later.kind, NodeKind::State { state: name, .. } if name == state)
            {
                return Err(PlanError::StatePath {
                    state: state.to_owned(),
                    from: node.name.clone(),
                    from_location: node.location.clone(),
                    to: later.name.clone(),
                    to_location: later.location.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Raises levels until every edge holds. In a DAG of places no level can exceed the number of nodes; if one
/// does, there is a circle.
pub(super) fn levels(plan: &Plan) -> Result<Vec<usize>, PlanError> {
    let mut levels = vec![0; plan.nodes.len()];
    loop {
        let mut changed = false;
        for id in plan.ids() {
            let node = plan.node(id);
            let needed = node
                .inputs
                .iter()
                .map(|input| levels[input.node.index()] + exchanges(plan, input.node, node))
                .max();
            changed |= raise(&mut levels[id.index()], needed.unwrap_or(0));
        }
        for state in plan.states() {
            let highest = stages_of(plan, state)
                .map(|(id, _)| levels[id.index()])
                .max()
                .unwrap_or(0);
            for (id, _) in stages_of(plan, state) {
                changed |= raise(&mut levels[id.index()], highest);
            }
        }
        if !changed {
            return Ok(levels);
        }
        if levels.iter().any(|level| *level > plan.nodes.len()) {
            let circling = |state: &str| {
                stages_of(plan, state).any(|(id, _)| levels[id.index()] > plan.nodes.len())
            };
            let states = plan
                .states()
                .into_iter()
                .filter(|state| circling(state))
                .map(str::to_owned)
                .collect();
            return Err(PlanError::StateCircle { states });
        }
    }
}

/// Number of exchanges on the edge from `from` to `to`: messages change workers after `key_by` and
/// `collect`, and on their way into a sink.
fn exchanges(plan: &Plan, from: NodeId, to: &Node) -> usize {
    let leaves_keyed = matches!(
        plan.node(from).kind,
        NodeKind::KeyBy { .. } | NodeKind::Collect
    );
    usize::from(leaves_keyed) + usize::from(matches!(to.kind, NodeKind::Sink))
}

fn raise(level: &mut usize, to: usize) -> bool {
    let raised = to > *level;
    *level = (*level).max(to);
    raised
}
