//! Exports: the rows of tables, views and queries, in one view of the database.
//!
//! An ordinary table is read in ranges of its rowids, by as many threads as the view has connections, and comes out in
//! the order of its rowids all the same. Everything else is read by one thread while others compress.

mod plan;
mod ranges;
mod rows;
mod stream;
mod utf16;

use super::Site;
use super::view::View;
use crate::engine::{Error, Exported, MOST_WORKERS, Outlet, Selection, Tally};
use crate::report::Progress;
pub(super) use plan::Plan;

impl Site {
    /// Exports each selection, all as of one instant.
    pub(super) fn export(
        &self,
        selections: &[Selection],
        outlet: &dyn Outlet,
        progress: &Progress,
    ) -> Result<Vec<Exported>, Error> {
        let mut view = View::of_live(self, self.workers().min(MOST_WORKERS))?;
        let catalog = super::catalog::read(view.first())?;
        // All of them first: a name that is wrong must not be found after an hour.
        let plans = selections.iter().map(|selection| Plan::of(view.first(), &catalog, selection));
        let plans: Vec<Plan> = plans.collect::<Result<_, _>>()?;
        let mut exported = Vec::new();
        for (place, plan) in plans.into_iter().enumerate() {
            let tally = Tally::new(selections[place].name(), progress);
            exported.push(self.export_plan(&mut view, plan, place, outlet, tally)?);
        }
        Ok(exported)
    }

    /// Hands the rows of one plan to the outlet.
    pub(super) fn export_plan(
        &self,
        view: &mut View,
        plan: Plan,
        place: usize,
        outlet: &dyn Outlet,
        tally: Tally<'_>,
    ) -> Result<Exported, Error> {
        let sink = outlet.open(place, &plan.shape)?;
        let hasher = if plan.rowid.is_some() {
            ranges::read(view, &plan, sink.as_ref(), &tally)?
        } else {
            stream::read(view, &plan, self.workers().min(MOST_WORKERS), sink.as_ref(), &tally)?
        };
        tally.finish();
        let print = hasher.finish(&[], &[]);
        Ok(Exported { shape: plan.shape, rows: print.rows, digest: print.digest })
    }
}
