//! Conditions on places.

use super::Filter;
use super::parse::{Parsed, Parser};

impl Parser {
    fn numbers(&mut self, open: &str, close: &str) -> Option<Vec<f64>> {
        if !self.symbol(open) {
            return None;
        }
        let mut numbers = Vec::new();
        loop {
            numbers.push(self.value().ok()?.text.parse().ok()?);
            if self.symbol(close) {
                return Some(numbers);
            }
            if !self.symbol(",") {
                return None;
            }
        }
    }

    /// `_geoRadius(…)`, behind its name.
    pub(super) fn radius(&mut self, start: usize) -> Parsed<Filter> {
        match self.numbers("(", ")").as_deref() {
            Some([lat, lng, metres, ..]) => Ok(Filter::Radius([*lat, *lng], *metres, self.place(start))),
            Some(numbers) => Err(self.fault(
                format!("Was expecting 3 or 4 arguments for `_geoRadius`, but instead found {}.", numbers.len()),
                self.at,
                self.at,
            )),
            _ => Err(self.fault(
                "The `_geoRadius` filter must be in the form: `_geoRadius(latitude, longitude, radius, optionalResolution)`.".into(),
                self.text.len(),
                self.text.len(),
            )),
        }
    }

    /// `_geoBoundingBox(…)`, behind its name.
    pub(super) fn bounding_box(&mut self, start: usize) -> Parsed<Filter> {
        let corners = (|| {
            self.symbol("(").then_some(())?;
            let first = self.numbers("[", "]")?;
            self.symbol(",").then_some(())?;
            let second = self.numbers("[", "]")?;
            self.symbol(")").then_some((first, second))
        })();
        match corners.as_ref().map(|(first, second)| (first.as_slice(), second.as_slice())) {
            Some(([top, right], [bottom, left])) => {
                Ok(Filter::Box([*top, *right], [*bottom, *left], self.place(start)))
            }
            _ => Err(self.fault(
                "The `_geoBoundingBox` filter must be in the form: `_geoBoundingBox([latitude, longitude], [latitude, longitude])`.".into(),
                self.text.len(),
                self.text.len(),
            )),
        }
    }
}
