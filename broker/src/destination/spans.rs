//! Whether segments are a way through a pattern. Rules, policies and the test of what a rule covers go by it.

/// Whether each of the segments fits one of the pattern, in order, but for those of the pattern that stand for any number
/// of segments, none included.
///
/// Each of those takes as little as it can, and only the last one is ever gone back to: if what stands between two of them
/// fits early, that leaves the most for what comes behind. So it takes at most the product of both lengths.
pub fn spans<P, S>(
    pattern: &[P],
    is_rest: impl Fn(&P) -> bool,
    mut segments: impl Iterator<Item = S> + Clone,
    fits: impl Fn(&P, S) -> bool,
) -> bool {
    let mut at = 0;
    let mut back = None;
    loop {
        let own = pattern.get(at);
        if own.is_some_and(&is_rest) {
            at += 1;
            if at == pattern.len() {
                return true;
            }
            back = Some((at, segments.clone()));
            continue;
        }
        let Some(segment) = segments.next() else { return own.is_none() };
        if own.is_some_and(|own| fits(own, segment)) {
            at += 1;
        } else {
            let Some((behind, from)) = &mut back else { return false };
            from.next();
            (at, segments) = (*behind, from.clone());
        }
    }
}
