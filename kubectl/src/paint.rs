//! Colours. They are always written; the stream strips them where there is no terminal.

use std::fmt;

use anstyle::{AnsiColor, Style};

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// In need of somebody.
    Bad,
    /// A heading.
    Strong,
    /// What need not be read.
    Faint,
}

/// A text in a tone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Painted<T>(pub(crate) Tone, pub(crate) T);

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = match self.0 {
            Tone::Good => Style::new().fg_color(Some(AnsiColor::Green.into())),
            Tone::Busy => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            Tone::Bad => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
        };
        write!(f, "{style}{}{style:#}", self.1)
    }
}
