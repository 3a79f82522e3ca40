//! Which web pages may connect: the `Origin` that browsers send against the configured list.

use stompbroker_config::AllowedOrigin;

/// Whether a request may be upgraded. Without `Origin` it does not come from a web page and is let through.
///
/// An empty list lets only the page's own origin through: the one whose authority is the request's `Host`.
pub(crate) fn is_allowed(origin: Option<&str>, host: Option<&str>, allowed: &[AllowedOrigin]) -> bool {
    let Some(origin) = origin else { return true };
    if allowed.is_empty() {
        return is_same(origin, host);
    }
    allowed.iter().any(|pattern| matches(pattern, origin))
}

/// Whether the authority of `origin` is `host`, default ports left out on either side.
pub(crate) fn is_same(origin: &str, host: Option<&str>) -> bool {
    let (Some((scheme, authority)), Some(host)) = (origin.split_once("://"), host) else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(default_port).unwrap_or(text).to_ascii_lowercase();
    bare(authority) == bare(host)
}

/// Whether `origin` is what the pattern says: itself, `*`, or with `*.` for one or more labels of the host name.
fn matches(pattern: &str, origin: &str) -> bool {
    if pattern == "*" || pattern.eq_ignore_ascii_case(origin) {
        return true;
    }
    let Some((scheme, domain)) = pattern.split_once("://*.") else { return false };
    let Some((origin_scheme, authority)) = origin.split_once("://") else { return false };
    let authority = authority.to_ascii_lowercase();
    let Some(labels) = authority.strip_suffix(&domain.to_ascii_lowercase()) else { return false };
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    origin_scheme.eq_ignore_ascii_case(scheme)
        && labels.strip_suffix('.').is_some_and(|labels| labels.split('.').all(is_label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: &str, list: &[&str]) -> bool {
        let list: Vec<_> = list.iter().map(|&origin| origin.to_owned()).collect();
        is_allowed(Some(origin), Some("broker.example.com:8080"), &list)
    }

    #[test]
    fn without_a_list_only_the_same_origin_is_let_in() {
        assert!(allowed("https://broker.example.com:8080", &[]));
        assert!(!allowed("https://broker.example.com", &[]));
        assert!(!allowed("https://evil.example.com:8080", &[]));
        assert!(!allowed("null", &[]));
        assert!(is_allowed(Some("https://a.example.com"), Some("a.example.com:443"), &[]));
        assert!(is_allowed(Some("http://a.example.com:80"), Some("A.example.com"), &[]));
        assert!(!is_allowed(Some("http://a.example.com"), None, &[]));
    }

    #[test]
    fn what_sends_no_origin_is_no_web_page() {
        assert!(is_allowed(None, None, &["https://app.example.com".to_owned()]));
    }

    #[test]
    fn a_list_lets_in_what_it_names_and_nothing_that_merely_looks_like_it() {
        let list = ["https://app.example.com", "https://*.corp.example.net:8443"];
        assert!(allowed("https://app.example.com", &list));
        assert!(allowed("https://App.Example.com", &list));
        assert!(allowed("https://a.b.corp.example.net:8443", &list));
        for origin in [
            "http://app.example.com",
            "https://app.example.com.evil.org",
            "https://app.example.com:444",
            "https://broker.example.com:8080",
            "https://a.corp.example.net",
            "http://a.corp.example.net:8443",
            "https://corp.example.net:8443",
            "https://evilcorp.example.net:8443",
            "https://evil.org/.corp.example.net:8443",
            "https://evil.org#.corp.example.net:8443",
            "null",
        ] {
            assert!(!allowed(origin, &list), "{origin}");
        }
        assert!(allowed("null", &["*"]));
    }
}
