//! The text in which metrics are read: Prometheus's own format, or OpenMetrics, which is that one made
//! a standard. They differ in the names that describe counters and in a last line.
//!
//! Names, label values and descriptions are the program's own, so none of them needs escaping.

use std::fmt::{Display, Write};

use super::Distribution;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Version 0.0.4 of Prometheus's text format.
    Prometheus,
    /// Version 1.0.0 of OpenMetrics.
    OpenMetrics,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A text that grows by one metric after another.
pub struct Exposition {
    format: Format,
    text: String,
}

/// The samples of a metric.
pub struct Samples<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Exposition {
    pub fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// Begins what only grows; its name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Samples<'_> {
        let described = match self.format {
            Format::Prometheus => name,
            Format::OpenMetrics => name.trim_end_matches("_total"),
        };
        self.begin(name, described, "counter", help)
    }

    /// Begins what rises and falls.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Samples<'_> {
        self.begin(name, name, "gauge", help)
    }

    pub fn histogram(&mut self, name: &'static str, help: &str) -> Samples<'_> {
        self.begin(name, name, "histogram", help)
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn begin(&mut self, name: &'static str, described: &str, kind: &str, help: &str) -> Samples<'_> {
        line(&mut self.text, format_args!("# HELP {described} {help}\n# TYPE {described} {kind}"));
        Samples { name, text: &mut self.text }
    }
}

impl Samples<'_> {
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.write("", labels, None, value);
    }

    /// The samples of a histogram.
    pub fn distribution(&mut self, labels: &[(&str, &str)], distribution: &Distribution) {
        for (limit, count) in distribution.cumulative() {
            // With a point, as OpenMetrics wants it: 1.0.
            self.write("_bucket", labels, Some(&format!("{limit:?}")), count);
        }
        self.write("_bucket", labels, Some("+Inf"), distribution.count());
        self.write("_sum", labels, None, distribution.sum());
        self.write("_count", labels, None, distribution.count());
    }

    fn write(&mut self, suffix: &str, labels: &[(&str, &str)], limit: Option<&str>, value: impl Display) {
        let labels = labels.iter().copied().chain(limit.map(|limit| ("le", limit)));
        let labels: Vec<_> = labels.map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let name = self.name;
        match labels.is_empty() {
            true => line(self.text, format_args!("{name}{suffix} {value}")),
            false => line(self.text, format_args!("{name}{suffix}{{{}}} {value}", labels.join(","))),
        }
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A text takes whatever is written to it.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Histogram, Scale};

    fn example(format: Format) -> String {
        let histogram = Histogram::new(Scale { parts_per_unit: 1000, limits: &[500, 1000] });
        [200, 800, 2000].into_iter().for_each(|parts| histogram.note(parts));
        let mut text = Exposition::new(format);
        let mut done = text.counter("done_total", "What was done.");
        done.sample(&[("by", "me"), ("how", "well")], 3);
        done.sample(&[("by", "you"), ("how", "ill")], 0);
        text.gauge("age_seconds", "How old it is.").sample(&[], 1.5);
        text.histogram("size", "How large.").distribution(&[("of", "it")], &histogram.read());
        text.finish()
    }

    const SAMPLES: [&str; 4] = [
        "done_total{by=\"me\",how=\"well\"} 3\ndone_total{by=\"you\",how=\"ill\"} 0\n",
        "# HELP age_seconds How old it is.\n# TYPE age_seconds gauge\nage_seconds 1.5\n",
        "# HELP size How large.\n# TYPE size histogram\n\
         size_bucket{of=\"it\",le=\"0.5\"} 1\nsize_bucket{of=\"it\",le=\"1.0\"} 2\nsize_bucket{of=\"it\",le=\"+Inf\"} 3\n",
        "size_sum{of=\"it\"} 3\nsize_count{of=\"it\"} 3\n",
    ];

    #[test]
    fn prometheus_describes_a_counter_by_its_whole_name() {
        let head = "# HELP done_total What was done.\n# TYPE done_total counter\n";
        assert_eq!(example(Format::Prometheus), format!("{head}{}", SAMPLES.concat()));
    }

    #[test]
    fn openmetrics_describes_it_without_its_suffix_and_says_where_the_text_ends() {
        let head = "# HELP done What was done.\n# TYPE done counter\n";
        assert_eq!(example(Format::OpenMetrics), format!("{head}{}# EOF\n", SAMPLES.concat()));
    }
}
