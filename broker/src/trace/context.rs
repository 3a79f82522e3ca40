//! The header `traceparent` of W3C Trace Context. Pure.

use std::fmt;

use crate::message::Message;

/// The header that says which trace a message belongs to, and which span of it sent the message.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// The header in which tracing systems keep what else they need; passed on as it is.
pub(crate) const TRACESTATE: &str = "tracestate";

/// Octets of a header of version 00, and of the part of later versions that we know.
const LENGTH: usize = 55;
/// The flag of traces that are recorded.
const SAMPLED: u8 = 1;
/// The flags that have a meaning: those of traces that are recorded, and of ids that are random.
const KNOWN_FLAGS: u8 = 3;

/// A span within its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(crate) trace: [u8; 16],
    pub(crate) span: [u8; 8],
    pub(crate) flags: u8,
}

impl TraceContext {
    /// A span of a trace of its own that is recorded.
    pub(crate) const fn root(trace: [u8; 16], span: [u8; 8]) -> Self {
        Self { trace, span, flags: SAMPLED }
    }

    /// Another span of the same trace.
    pub(crate) const fn child(self, span: [u8; 8]) -> Self {
        Self { span, ..self }
    }

    /// Reads a header; nothing where it means nothing, so that the trace begins anew.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let known = header.get(..LENGTH)?;
        let mut parts = known.split('-');
        let [version] = hex(parts.next()?)?;
        let (trace, span, [flags]) = (hex(parts.next()?)?, hex(parts.next()?)?, hex(parts.next()?)?);
        let more = &header[LENGTH..];
        let fits = if version == 0 { more.is_empty() } else { more.is_empty() || more.starts_with('-') };
        let is_valid = version != 0xff && fits && trace != [0; 16] && span != [0; 8] && parts.next().is_none();
        is_valid.then_some(Self { trace, span, flags: flags & KNOWN_FLAGS })
    }

    /// What the headers of a message say.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        Self::parse(message.header(TRACEPARENT)?)
    }

    /// What the headers of a message say, where its trace is recorded.
    pub(crate) fn sampled_of(message: &Message) -> Option<Self> {
        Self::of(message).filter(Self::is_sampled)
    }

    /// Whether the trace is recorded.
    pub(crate) const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// Lower-case digits only, as the specification says.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    };
    let mut octets = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (octet, pair) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *octet = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(octets)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
        f.write_str("-")?;
        self.span.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
        write!(f, "-{:02x}", self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_header_is_read_and_written_alike() {
        let context = TraceContext::parse(HEADER).unwrap();
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), HEADER);
        assert!(!TraceContext::parse(&HEADER.replace("-01", "-00")).unwrap().is_sampled());
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known_and_written_as_ours() {
        let later = HEADER.replacen("00-", "cc-", 1);
        for text in [later.clone(), format!("{later}-what-else")] {
            assert_eq!(TraceContext::parse(&text).unwrap().to_string(), HEADER, "{text}");
        }
        assert_eq!(TraceContext::parse(&format!("{later}.what-else")), None);
    }

    #[test]
    fn what_means_nothing_is_nothing() {
        for text in [
            "",
            "00",
            &HEADER[..54],
            &format!("{HEADER}-more"),
            &HEADER.to_uppercase(),
            &HEADER.replacen("00-", "ff-", 1),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01",
            "00-0af7651916cd43dd8448eb211c80319cb7-ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033-31-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203\u{e9}1-01",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text:?}");
        }
    }
}
