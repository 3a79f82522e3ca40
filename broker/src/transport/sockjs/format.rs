//! How a frame looks in each of the ways to receive it.

use bytes::Bytes;

use super::json;

/// A way to receive, with the name of the page's function where it calls one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Xhr,
    XhrStreaming,
    EventSource,
    HtmlFile(String),
    Jsonp(String),
}

/// Octets of the page that `htmlfile` begins with; browsers show nothing of a shorter one.
const HTML_SIZE: usize = 1024;
/// Octets of `h` that browsers need before they hand on what follows.
const XHR_PRELUDE: usize = 2048;

impl Format {
    /// Whether one response carries many frames.
    pub(super) const fn is_streaming(&self) -> bool {
        matches!(self, Self::XhrStreaming | Self::EventSource | Self::HtmlFile(_))
    }

    /// The media type of the response.
    pub(super) const fn content_type(&self) -> &'static str {
        match self {
            Self::Xhr | Self::XhrStreaming | Self::Jsonp(_) => "application/javascript; charset=UTF-8",
            Self::EventSource => "text/event-stream",
            Self::HtmlFile(_) => "text/html; charset=UTF-8",
        }
    }

    /// What comes before the first frame.
    pub(super) fn prelude(&self) -> Option<Bytes> {
        match self {
            Self::Xhr | Self::Jsonp(_) => None,
            Self::XhrStreaming => {
                let mut prelude = vec![b'h'; XHR_PRELUDE];
                prelude.push(b'\n');
                Some(prelude.into())
            }
            Self::EventSource => Some(Bytes::from_static(b"\r\n")),
            Self::HtmlFile(callback) => {
                let mut page = HTML_PAGE.replace("CALLBACK", callback);
                page.push_str(&" ".repeat(HTML_SIZE.saturating_sub(page.len()) + 1));
                page.push_str("\r\n\r\n");
                Some(page.into())
            }
        }
    }

    /// One frame.
    pub(super) fn frame(&self, frame: &str) -> Bytes {
        match self {
            Self::Xhr | Self::XhrStreaming => format!("{frame}\n"),
            Self::EventSource => format!("data: {frame}\r\n\r\n"),
            Self::HtmlFile(_) => format!("<script>\np({});\n</script>\r\n", script_string(frame)),
            // The comment keeps the answer from being taken for something else that begins as the callback does.
            Self::Jsonp(callback) => format!("/**/{callback}({});\r\n", script_string(frame)),
        }
        .into()
    }
}

/// A frame as a string in a script, which no text in it can end.
fn script_string(frame: &str) -> String {
    let mut string = String::with_capacity(frame.len() + frame.len() / 4);
    json::push_string(frame, &mut string);
    string.replace("</", "<\\/")
}

const HTML_PAGE: &str = r#"<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.CALLBACK;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_receive_has_its_own_frame() {
        let callback = || "_jp.a1".to_owned();
        for (format, frame) in [
            (Format::Xhr, "a[\"x\"]\n"),
            (Format::XhrStreaming, "a[\"x\"]\n"),
            (Format::EventSource, "data: a[\"x\"]\r\n\r\n"),
            (Format::HtmlFile(callback()), "<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n"),
            (Format::Jsonp(callback()), "/**/_jp.a1(\"a[\\\"x\\\"]\");\r\n"),
        ] {
            assert_eq!(format.frame(r#"a["x"]"#), frame, "{format:?}");
        }
    }

    #[test]
    fn no_message_ends_the_script_it_comes_in() {
        let frame = Format::HtmlFile("c".to_owned()).frame(r#"a["</script><script>alert(1)"]"#);
        let frame = std::str::from_utf8(&frame).unwrap();
        assert_eq!(frame.matches("</script>").count(), 1, "{frame}");
        assert!(frame.contains(r#"p("a[\"<\/script><script>alert(1)\"]");"#), "{frame}");
    }

    #[test]
    fn the_page_of_htmlfile_calls_its_parent_and_is_long_enough() {
        let page = Format::HtmlFile("callback".to_owned()).prelude().unwrap();
        assert!(page.len() > HTML_SIZE);
        assert!(std::str::from_utf8(&page).unwrap().contains("var c = parent.callback;"));
    }
}
