//! Groups of nodes that reach each other.

use std::collections::BTreeSet;

/// The groups of more than one node in which each node leads to every other. Small graphs only: it
/// follows the arrows from each node once.
pub(super) fn circles<'a, N: Ord + Clone + 'a, A>(
    nodes: impl Iterator<Item = &'a N>,
    arrows: impl Fn(&'a N) -> A,
) -> Vec<BTreeSet<N>>
where
    A: Iterator<Item = &'a N>,
{
    let reached: Vec<(&N, BTreeSet<&N>)> = nodes
        .map(|node| (node, everything_behind(node, &arrows)))
        .collect();
    let mut groups: BTreeSet<BTreeSet<N>> = BTreeSet::new();
    for (node, behind) in reached
        .iter()
        .filter(|(node, behind)| behind.contains(node))
    {
        let mutual = reached
            .iter()
            .filter(|(other, back)| behind.contains(other) && back.contains(node));
        groups.insert(mutual.map(|(other, _)| (*other).clone()).collect());
    }
    groups.into_iter().collect()
}

fn everything_behind<'a, N: Ord, A>(node: &'a N, arrows: &impl Fn(&'a N) -> A) -> BTreeSet<&'a N>
where
    A: Iterator<Item = &'a N>,
{
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<&N> = arrows(node).collect();
    while let Some(next) = waiting.pop() {
        if seen.insert(next) {
            waiting.extend(arrows(next));
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_what_leads_back_is_a_circle() {
        let graph = BTreeMap::from([
            (1, vec![2, 4]),
            (2, vec![3]),
            (3, vec![1]),
            (4, vec![5]),
            (5, vec![]),
            (6, vec![7, 1]),
            (7, vec![6]),
        ]);
        let found = circles(graph.keys(), |node| graph.get(node).into_iter().flatten());
        assert_eq!(found, [BTreeSet::from([1, 2, 3]), BTreeSet::from([6, 7])]);
    }
}
