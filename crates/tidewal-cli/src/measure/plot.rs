//! The plot of S9: throughput, syncs and latency against the fsync interval.

use std::io;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::measure::figures::{Line, Point, Sweep, Unit};
use crate::measure::machine::Setting;
use crate::measure::report::thousands;

pub fn draw(path: &Path, sweep: &Sweep, setting: &Setting) -> io::Result<()> {
    let drawn = draw_all(path, sweep, &subtitle(setting));
    drawn.map_err(|error| io::Error::other(error.to_string()))
}

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw_all(path: &Path, sweep: &Sweep, subtitle: &str) -> Drawn {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, rest) = root.split_vertically(HEAD_HEIGHT);
    let (panels, foot) = rest.split_vertically(SIZE.1 - HEAD_HEIGHT - FOOT_HEIGHT);
    draw_head(&head, subtitle)?;
    let panels = panels.split_evenly((2, 2));
    for (area, panel) in panels.iter().zip(&PANELS) {
        panel.draw(area, sweep)?;
    }
    draw_legend(&foot, sweep)?;
    root.present()?;
    Ok(())
}

/// The machine in one line.
fn subtitle(setting: &Setting) -> String {
    let fact = |wanted: &str| {
        let found = setting.facts.iter().find(|(name, _)| *name == wanted);
        found.map_or("", |(_, value)| value.as_str())
    };
    // The mount options follow, and are left out.
    let system = fact("Log directory on").split(" (").next().unwrap_or("");
    format!(
        "100 B records, {}, {system}, {}",
        fact("Processor"),
        fact("Date")
    )
}

fn draw_head(area: &Area, subtitle: &str) -> Drawn {
    let center = i32::try_from(SIZE.0 / 2)?;
    let title = "Durable appends against the fsync interval";
    area.draw(&Text::new(title, (center, 14), centered(32, INK)))?;
    area.draw(&Text::new(
        subtitle.to_owned(),
        (center, 56),
        centered(19, PALE_INK),
    ))?;
    Ok(())
}

/// One of the diagrams.
struct Panel {
    title: &'static str,
    value: fn(&Point) -> f64,
    unit: Unit,
    has_baseline: bool,
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "Throughput, appends/s",
        value: |point| point.rate,
        unit: Unit::PerSecond,
        has_baseline: false,
    },
    Panel {
        title: "Syncs/s",
        value: |point| point.syncs,
        unit: Unit::PerSecond,
        has_baseline: false,
    },
    Panel {
        title: "Median wait (p50)",
        value: |point| point.p50,
        unit: Unit::Time,
        has_baseline: true,
    },
    Panel {
        title: "Long waits (p99)",
        value: |point| point.p99,
        unit: Unit::Time,
        has_baseline: true,
    },
];

impl Panel {
    fn draw(&self, area: &Area, sweep: &Sweep) -> Drawn {
        let range = self.range(sweep);
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, 23).into_font().color(&INK))
            .margin(8)
            .margin_right(16)
            .x_label_area_size(60)
            .y_label_area_size(84)
            .build_cartesian_2d(
                (LEFT..RIGHT).log_scale().with_key_points(ticks(sweep)),
                range.clone().log_scale().with_key_points(decades(&range)),
            )?;
        chart
            .configure_mesh()
            .x_desc("fsync interval, ms")
            .x_label_formatter(&|&x| tick_name(x))
            .y_label_formatter(&|&y| self.tick_name(y))
            .label_style((FONT, 18).into_font().color(&INK))
            .axis_desc_style((FONT, 19).into_font().color(&INK))
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(PALE_INK)
            .draw()?;
        if self.has_baseline {
            let y = (self.value)(&sweep.baseline);
            chart.draw_series(DashedLineSeries::new(
                [(LEFT, y), (RIGHT, y)],
                6,
                5,
                PALE_INK.stroke_width(2),
            ))?;
        }
        for (number, line) in sweep.lines.iter().enumerate() {
            let (color, points) = (color(number, sweep), self.points(sweep, line));
            // `Always` has no interval, so its point is beside the line.
            let timed = points.iter().copied().filter(|&(x, _)| x > ALWAYS_AT);
            chart.draw_series(LineSeries::new(timed, color.stroke_width(2)))?;
            let dot = |&at| Circle::new(at, 4, color.filled());
            chart.draw_series(points.iter().map(dot))?;
        }
        Ok(())
    }

    fn points(&self, sweep: &Sweep, line: &Line) -> Vec<(f64, f64)> {
        let places = sweep.intervals.iter().map(|interval| place(*interval));
        places.zip(line.points.iter().map(self.value)).collect()
    }

    /// Whole decades around all values of the unit.
    fn range(&self, sweep: &Sweep) -> Range<f64> {
        let baseline = self.has_baseline.then_some(&sweep.baseline);
        let points = sweep.lines.iter().flat_map(|line| &line.points);
        // Panels with the same unit have the same range, so they can be compared.
        let shown: Vec<_> = PANELS
            .iter()
            .filter(|panel| panel.unit == self.unit)
            .collect();
        let values = points
            .chain(baseline)
            .flat_map(|point| shown.iter().map(|panel| (panel.value)(point)));
        let (low, high) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        10f64.powf((low * 0.9).log10().floor())..10f64.powf((high * 1.1).log10().ceil())
    }

    fn tick_name(&self, value: f64) -> String {
        let text = match self.unit {
            Unit::PerSecond => Unit::PerSecond.text(value).replace("/s", ""),
            unit => unit.text(value),
        };
        // A power of ten needs no digits after the decimal point.
        text.replace(".00", "").replace(".0", "")
    }
}

fn draw_legend(area: &Area, sweep: &Sweep) -> Drawn {
    let middle = 24;
    let lines = i32::try_from(sweep.lines.len())?;
    let width = LEGEND_NAME + lines * LEGEND_STEP + LEGEND_FLOOR;
    let mut x = (i32::try_from(SIZE.0)? - width) / 2;
    area.draw(&Text::new("producers", (x, middle), left_aligned()))?;
    x += LEGEND_NAME;
    for (number, line) in sweep.lines.iter().enumerate() {
        let color = color(number, sweep);
        let stroke = color.stroke_width(2);
        area.draw(&PathElement::new([(x, middle), (x + 34, middle)], stroke))?;
        area.draw(&Circle::new((x + 17, middle), 4, color.filled()))?;
        let name = thousands(line.producers as u64);
        area.draw(&Text::new(name, (x + 42, middle), left_aligned()))?;
        x += LEGEND_STEP;
    }
    for dash in [0, 11, 22] {
        let ends = [(x + dash, middle), (x + dash + 6, middle)];
        area.draw(&PathElement::new(ends, PALE_INK.stroke_width(2)))?;
    }
    let baseline = "one bare write + fdatasync";
    area.draw(&Text::new(baseline, (x + 38, middle), left_aligned()))?;
    Ok(())
}

/// The position of an interval on the axis.
fn place(interval: Option<f64>) -> f64 {
    interval.unwrap_or(ALWAYS_AT)
}

fn ticks(sweep: &Sweep) -> Vec<f64> {
    let places = sweep.intervals.iter().map(|interval| place(*interval));
    places.collect()
}

fn tick_name(x: f64) -> String {
    if x > ALWAYS_AT {
        format!("{x}")
    } else {
        "always".into()
    }
}

fn decades(range: &Range<f64>) -> Vec<f64> {
    let decades = std::iter::successors(Some(range.start), |value| Some(value * 10.0));
    decades
        .take_while(|&value| value <= range.end * 1.01)
        .collect()
}

/// From cold colors for few producers to warm ones for many.
fn color(number: usize, sweep: &Sweep) -> RGBColor {
    let last = sweep.lines.len().saturating_sub(1).max(1);
    COLORS[number * (COLORS.len() - 1) / last]
}

fn centered(size: u32, color: RGBColor) -> TextStyle<'static> {
    let style: TextStyle = (FONT, size).into_font().color(&color);
    style.pos(Pos::new(HPos::Center, VPos::Top))
}

fn left_aligned() -> TextStyle<'static> {
    let style: TextStyle = (FONT, 20).into_font().color(&INK);
    style.pos(Pos::new(HPos::Left, VPos::Center))
}

const SIZE: (u32, u32) = (1280, 1060);
const HEAD_HEIGHT: u32 = 90;
const FOOT_HEIGHT: u32 = 54;
/// Widths in the legend: the title, a line with its name, and the baseline.
const LEGEND_NAME: i32 = 112;
const LEGEND_STEP: i32 = 110;
const LEGEND_FLOOR: i32 = 270;
const FONT: &str = "Helvetica, Arial, sans-serif";

/// The ends of the interval axis in milliseconds, and the position of `Always`.
const LEFT: f64 = 0.035;
const RIGHT: f64 = 150.0;
const ALWAYS_AT: f64 = 0.06;

const INK: RGBColor = RGBColor(33, 37, 41);
const PALE_INK: RGBColor = RGBColor(110, 117, 125);
const GRID: RGBColor = RGBColor(226, 229, 233);
const COLORS: [RGBColor; 6] = [
    RGBColor(44, 62, 140),
    RGBColor(33, 120, 190),
    RGBColor(26, 157, 150),
    RGBColor(120, 170, 50),
    RGBColor(235, 150, 30),
    RGBColor(205, 50, 50),
];
