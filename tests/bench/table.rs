//! The table: both tools side by side, in Markdown.

use std::fmt::{self, Write as _};

use crate::measure::Usage;

/// What is compared.
#[derive(Clone, Copy, PartialEq)]
pub enum Figure {
    /// time from start to end
    Wall,
    /// time of the processors
    Cpu,
    /// peak memory
    Memory,
}

/// A line of the table.
#[derive(Clone, Copy)]
pub struct Line {
    figure: Figure,
    /// what mailca is held against instead of `openssl ca`: the row's third case
    against: Option<&'static str>,
    /// what is hoped for
    target: Option<Target>,
}

/// The largest value hoped for.
#[derive(Clone, Copy)]
enum Target {
    Ratio(f64),
    Mebibytes(f64),
    Milliseconds(f64),
}

impl Line {
    /// mailca against `openssl ca`.
    pub fn of(figure: Figure) -> Self {
        Self {
            figure,
            against: None,
            target: None,
        }
    }

    /// The same against the row's third case.
    pub fn against(self, name: &'static str) -> Self {
        Self {
            against: Some(name),
            ..self
        }
    }

    /// The same with a target: a ratio, or for memory, MiB.
    pub fn target(self, largest: f64) -> Self {
        let target = match self.figure {
            Figure::Memory => Target::Mebibytes(largest),
            Figure::Wall | Figure::Cpu => Target::Ratio(largest),
        };
        Self {
            target: Some(target),
            ..self
        }
    }

    /// The same with a time as its target, in milliseconds.
    pub fn within(self, longest: f64) -> Self {
        Self {
            target: Some(Target::Milliseconds(longest)),
            ..self
        }
    }

    /// The same with a ratio as its target, for memory too.
    pub fn ratio(self, largest: f64) -> Self {
        Self {
            target: Some(Target::Ratio(largest)),
            ..self
        }
    }
}

/// The table as it grows.
pub struct Table(String);

impl Table {
    /// The head of the table.
    pub fn new() -> Self {
        Self("| | `openssl ca` | mailca | ratio | target | |\n|---|---|---|---|---|---|\n".into())
    }

    /// Adds a row's lines; `usages` are those of `openssl ca`, of mailca, and of a third case.
    pub fn add(&mut self, title: &str, lines: &[Line], usages: &[Vec<Usage>]) {
        let _ = writeln!(self.0, "| **{title}** | | | | | |");
        for line in lines {
            let other = &usages[if line.against.is_some() { 2 } else { 0 }];
            self.0.push_str(&line.compare(other, &usages[1]));
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Line {
    fn compare(self, other: &[Usage], mailca: &[Usage]) -> String {
        let (other, mailca) = (self.figure.summary(other), self.figure.summary(mailca));
        let ratio = mailca.median / other.median;
        let (is_met, target) = match self.target {
            None => (None, String::new()),
            Some(Target::Ratio(most)) => (Some(ratio <= most), times(most)),
            Some(Target::Mebibytes(most)) => (Some(mailca.median <= most), format!("{most} MiB")),
            Some(Target::Milliseconds(most)) => (Some(mailca.median <= most), format!("{most} ms")),
        };
        let verdict = match is_met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "",
        };
        let what = self.figure.name();
        let what = self
            .against
            .map_or_else(|| what.into(), |third| format!("{what}, against {third}"));
        let show = |summary| self.figure.show(summary);
        let (other, mailca, ratio) = (show(other), show(mailca), times(ratio));
        format!("| {what} | {other} | {mailca} | {ratio} | {target} | {verdict} |\n")
    }
}

/// The least and the middle one of several.
#[derive(Clone, Copy)]
struct Summary {
    least: f64,
    median: f64,
}

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall time",
            Self::Cpu => "CPU time",
            Self::Memory => "peak memory",
        }
    }

    // Milliseconds, or MiB.
    fn summary(self, usages: &[Usage]) -> Summary {
        let mut all: Vec<f64> = usages
            .iter()
            .map(|usage| match self {
                Self::Wall => usage.wall.as_secs_f64() * 1e3,
                Self::Cpu => usage.cpu.as_secs_f64() * 1e3,
                Self::Memory => usage.kibibytes / 1024.0,
            })
            .collect();
        all.sort_by(f64::total_cmp);
        Summary {
            least: all[0],
            median: all[all.len() / 2],
        }
    }

    fn show(self, Summary { least, median }: Summary) -> String {
        match self {
            Self::Memory => format!("{median:.1} MiB"),
            _ if median < 100.0 => format!("{median:.1} ms (at best {least:.1})"),
            _ => format!("{median:.0} ms (at best {least:.0})"),
        }
    }
}

fn times(ratio: f64) -> String {
    if ratio < 0.1 {
        format!("1/{:.0}", 1.0 / ratio)
    } else {
        format!("{ratio:.2}")
    }
}
