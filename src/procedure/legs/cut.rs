//! Where a way down is cut into legs. Pure.
//!
//! What an upgrade salvaged comes back when all of its own revisions are undone, and before a way back of an older revision
//! touches what it is of. Promises as few legs as that takes. Where the revisions are interleaved so that no place lies
//! between the two, or a leg could not be named as a target, nothing is cut for it: then the merge itself holds it back.

use crate::procedure::merge::Claim;
use std::collections::BTreeSet;

/// Returns the places of a way down where one leg ends and the next begins, ascending. `may_end` tells whether a
/// leg may end before the script at a place.
pub(super) fn cuts(claims: &[Claim], may_end: &dyn Fn(usize) -> bool) -> Vec<usize> {
    // What has something to bring back is undone in one leg, as it was upgraded in one.
    let splits = |place: usize| {
        let is_between = |(first, last): (&usize, &usize)| *first < place && place <= *last;
        claims.iter().any(|claim| claim.own.first().zip(claim.own.last()).is_some_and(is_between))
    };
    let mut needed: Vec<(usize, usize)> = claims.iter().flat_map(needs).collect();
    needed.sort_by_key(|(from, to)| (*to, *from));
    let mut cuts: Vec<usize> = Vec::new();
    for (from, to) in needed {
        if cuts.last().is_some_and(|cut| (from..=to).contains(cut)) {
            continue;
        }
        let place = (from..=to).rev().find(|place| may_end(*place) && !splits(*place));
        cuts.extend(place.filter(|place| cuts.last().is_none_or(|cut| cut < place)));
    }
    cuts
}

/// Returns for each table of a claim between which places there has to be an end of a leg: after all of its own scripts, and
/// at the latest before the first one that harms it. What is harmed before that is beyond help.
fn needs(claim: &Claim) -> BTreeSet<(usize, usize)> {
    let Some(last) = claim.own.last().copied() else { return BTreeSet::new() };
    let first = |harmed_by: &BTreeSet<usize>| harmed_by.first().copied();
    let each = claim.harmed_by.iter().filter_map(first).filter(|first| *first > last);
    each.map(|first| (last + 1, first)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(own: &[usize], harmed_by: &[&[usize]]) -> Claim {
        let set = |places: &[usize]| places.iter().copied().collect();
        Claim {
            backup: String::new(),
            own: set(own),
            harmed_by: harmed_by.iter().map(|by| set(by)).collect(),
        }
    }

    fn anywhere(claims: &[Claim]) -> Vec<usize> {
        cuts(claims, &|_| true)
    }

    #[test]
    fn what_need_not_be_apart_runs_together() {
        assert_eq!(anywhere(&[]), [0; 0]);
        assert_eq!(anywhere(&[claim(&[0], &[&[]]), claim(&[1], &[&[]])]), [0; 0]);
        assert_eq!(anywhere(&[claim(&[0, 1], &[&[3]])]), [3], "as late as may be");
        assert_eq!(anywhere(&[claim(&[0], &[&[2]]), claim(&[1], &[&[2]])]), [2], "one end serves both");
    }

    #[test]
    fn each_upgrade_comes_back_before_an_older_way_back_touches_what_it_is_of() {
        assert_eq!(anywhere(&[claim(&[0], &[&[1, 2]]), claim(&[1], &[&[2]])]), [1, 2]);
        assert_eq!(anywhere(&[claim(&[0], &[&[3], &[1]])]), [1]);
    }

    #[test]
    fn where_revisions_are_interleaved_nothing_is_cut_in_vain() {
        assert_eq!(anywhere(&[claim(&[0, 2], &[&[1]])]), [0; 0], "it ran in between");
        assert_eq!(anywhere(&[claim(&[1], &[&[0, 2]])]), [0; 0], "it ran before");
        assert_eq!(anywhere(&[claim(&[0], &[&[2]]), claim(&[1, 3], &[&[]])]), [1], "between two upgrades");
        assert_eq!(anywhere(&[claim(&[1], &[&[2]]), claim(&[0, 3], &[&[]])]), [0; 0], "never through one");
    }

    #[test]
    fn a_leg_ends_only_where_it_can_be_named() {
        assert_eq!(cuts(&[claim(&[0], &[&[3]])], &|place| place == 2), [2]);
        assert_eq!(cuts(&[claim(&[0], &[&[1]])], &|place| place == 2), [0; 0]);
    }

    fn claims() -> impl Strategy<Value = Vec<Claim>> {
        let places = || prop::collection::btree_set(0..8usize, 0..4);
        let one = (prop::collection::btree_set(0..8usize, 1..3), prop::collection::vec(places(), 0..3));
        let one = one.prop_map(|(own, harmed_by)| Claim {
            backup: String::new(),
            harmed_by: harmed_by.into_iter().map(|by| by.difference(&own).copied().collect()).collect(),
            own,
        });
        prop::collection::vec(one, 0..4)
    }

    fn is_met(cuts: &[usize], (from, to): (usize, usize)) -> bool {
        cuts.iter().any(|cut| (from..=to).contains(cut))
    }

    proptest! {
        #[test]
        fn whatever_can_come_back_in_time_does_and_no_leg_is_one_too_many(
            claims in claims(),
            closed in prop::collection::btree_set(0..9usize, 0..5),
        ) {
            let cuts = cuts(&claims, &|place| !closed.contains(&place));
            let splits = |place: usize| claims.iter().any(|claim| {
                claim.own.iter().any(|own| *own < place) && claim.own.iter().any(|own| *own >= place)
            });
            let may = |place: usize| !closed.contains(&place) && !splits(place);
            prop_assert!(cuts.is_sorted_by(|one, other| one < other));
            prop_assert!(cuts.iter().all(|cut| may(*cut) && *cut > 0));
            let needed: Vec<_> = claims.iter().flat_map(needs).collect();
            for (from, to) in needed.iter().copied() {
                prop_assert!(is_met(&cuts, (from, to)) || !(from..=to).any(may));
            }
            for cut in &cuts {
                let fewer: Vec<usize> = cuts.iter().filter(|other| *other != cut).copied().collect();
                prop_assert!(needed.iter().any(|need| is_met(&cuts, *need) && !is_met(&fewer, *need)));
            }
        }
    }
}
