//! Alternating measurements of several methods.

use std::time::Duration;

use crate::measure::bare::{Bare, Method};
use crate::measure::context::{BenchContext, ROUND_STEPS};
use crate::measure::load::Load;
use crate::measure::log::Log;
use crate::measure::slice::Slice;

/// Methods whose measurements alternate, so a slow period of the machine affects all of them.
pub struct Comparison<'a> {
    context: &'a BenchContext,
    entrants: Vec<Entrant<'a>>,
}

struct Entrant<'a> {
    name: String,
    run: Box<dyn FnMut() -> Slice + 'a>,
}

impl<'a> Comparison<'a> {
    pub fn new(context: &'a BenchContext) -> Self {
        Self {
            context,
            entrants: Vec::new(),
        }
    }

    pub fn enter(mut self, name: impl Into<String>, run: impl FnMut() -> Slice + 'a) -> Self {
        self.entrants.push(Entrant {
            name: name.into(),
            run: Box::new(run),
        });
        self
    }

    /// Adds writes of `piece_len` bytes to the bare disk, if it supports the method.
    pub fn enter_bare(self, method: Method, piece_len: usize) -> Self {
        let time = self.context.slice;
        match Bare::open(self.context, method, piece_len) {
            Some(mut bare) => self.enter(method.name(), move || bare.run(time)),
            None => self,
        }
    }

    /// Adds a log under a load, if there is one.
    pub fn enter_log(self, name: impl Into<String>, log: Option<&'a Log>, load: Load) -> Self {
        let time = self.context.slice;
        self.enter_log_for(name, log, load, time)
    }

    pub fn enter_log_for(
        self,
        name: impl Into<String>,
        log: Option<&'a Log>,
        load: Load,
        time: Duration,
    ) -> Self {
        let runtime = &self.context.runtime;
        match log {
            Some(log) => self.enter(name, move || log.run(runtime, &load, time)),
            None => self,
        }
    }

    /// Runs all rounds. Each begins with the next method, so no method always comes after the same
    /// one.
    pub fn run(mut self) -> Runs {
        let mut runs: Vec<_> = self
            .entrants
            .iter()
            .map(|entrant| (entrant.name.clone(), Vec::new()))
            .collect();
        for round in 0..self.context.rounds {
            for turn in 0..self.entrants.len() {
                let index = (round + turn) % self.entrants.len();
                let entrant = &mut self.entrants[index];
                self.context.progress.set_message(entrant.name.clone());
                runs[index].1.push((entrant.run)());
                self.context
                    .progress
                    .inc(ROUND_STEPS / self.entrants.len() as u64);
            }
            self.context
                .progress
                .inc(ROUND_STEPS % self.entrants.len() as u64);
        }
        Runs(runs)
    }
}

/// The slices of every method, round by round.
pub struct Runs(Vec<(String, Vec<Slice>)>);

impl Runs {
    /// The slices of a method, or `None` if it was not measured.
    pub fn of(&self, name: &str) -> Option<&[Slice]> {
        let (_, slices) = self.0.iter().find(|(entrant, _)| *entrant == name)?;
        Some(slices)
    }

    /// The figure of a method in every round.
    pub fn each(&self, name: &str, figure: impl Fn(&Slice) -> f64) -> Option<Vec<f64>> {
        Some(self.of(name)?.iter().map(figure).collect())
    }

    /// A figure that may be unknown of a method in each round.
    pub fn each_known(
        &self,
        name: &str,
        figure: impl Fn(&Slice) -> Option<f64>,
    ) -> Option<Vec<f64>> {
        self.of(name)?.iter().map(figure).collect()
    }

    /// The figure of one method relative to that of another one in the same round.
    pub fn ratio(
        &self,
        name: &str,
        baseline: &str,
        figure: impl Fn(&Slice, &Slice) -> f64,
    ) -> Option<Vec<f64>> {
        let pairs = self.of(name)?.iter().zip(self.of(baseline)?);
        Some(
            pairs
                .map(|(slice, baseline)| figure(slice, baseline))
                .collect(),
        )
    }
}
