use proptest::prelude::*;
use stompbroker_config::{Action, Allow, Authorization, Rule};

use super::*;

fn principal(user: &str, roles: &[&str]) -> Principal {
    Principal {
        user: user.into(),
        roles: roles.iter().map(|&role| role.into()).collect(),
        claims: None,
        expires_at: None,
    }
}

fn rule(actions: &[Action], destinations: &[&str], allow: Allow) -> Rule {
    Rule { actions: actions.to_vec(), destinations: destinations.iter().map(ToString::to_string).collect(), allow }
}

fn policy(rules: Vec<Rule>) -> Policy {
    Policy::new(Some(&Authorization { rules })).unwrap()
}

const BOTH: [Action; 2] = [Action::Send, Action::Subscribe];

fn everybody_may(patterns: &[&str]) -> Policy {
    policy(vec![rule(&BOTH, patterns, Allow::Anyone {})])
}

#[track_caller]
fn assert_allows(policy: &Policy, user: &str, destination: &str, allowed: bool) {
    assert_eq!(policy.allows(&principal(user, &[]), Action::Subscribe, destination), allowed, "{user} {destination}");
}

#[test]
fn without_rules_everything_is_allowed_and_with_an_empty_list_nothing_is() {
    let anonymous = principal("", &[]);
    assert!(Policy::new(None).unwrap().allows(&anonymous, Action::Send, "/topic/a"));
    assert!(!policy(vec![]).allows(&anonymous, Action::Send, "/topic/a"));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = policy(vec![
        rule(&[Action::Subscribe], &["/topic/sensitive/**"], Allow::Roles(vec!["ADMIN".to_owned()])),
        rule(&BOTH, &["/topic/**"], Allow::Authenticated {}),
    ]);
    let (admin, ann, nobody) = (principal("root", &["ADMIN"]), principal("ann", &["USER"]), principal("", &[]));
    for (who, action, destination, allowed) in [
        (&admin, Action::Subscribe, "/topic/sensitive/a", true),
        (&ann, Action::Subscribe, "/topic/sensitive/a", false),
        (&ann, Action::Subscribe, "/topic/sensitive", false),
        (&ann, Action::Send, "/topic/sensitive/a", true),
        (&ann, Action::Subscribe, "/topic/other", true),
        (&nobody, Action::Subscribe, "/topic/other", false),
        (&ann, Action::Subscribe, "/queue/other", false),
    ] {
        assert_eq!(policy.allows(who, action, destination), allowed, "{who:?} {action:?} {destination}");
    }
}

#[test]
fn users_are_matched_by_their_whole_name() {
    let policy = policy(vec![rule(&BOTH, &["/**"], Allow::Users(vec!["ann".to_owned()]))]);
    assert_allows(&policy, "ann", "/topic/a", true);
    assert_allows(&policy, "anna", "/topic/a", false);
    assert_allows(&policy, "", "/topic/a", false);
}

#[test]
fn a_wildcard_in_a_rule_is_one_segment_or_the_rest() {
    for (pattern, destination, allowed) in [
        ("/topic/*", "/topic/a", true),
        ("/topic/*", "/topic.a", true),
        ("/topic/*", "/topic/a/b", false),
        ("/topic/*", "/topic/a.b", false),
        ("/topic/*", "/topic", false),
        ("/topic/**", "/topic/a.b/c", true),
        ("/topic/#", "/topic", true),
        ("/topic/>", "/topics", false),
        ("/topic/*/b", "/topic/a.b", true),
        ("/topic/*/b", "/topic/a.c", false),
    ] {
        assert_eq!(
            everybody_may(&[pattern]).allows(&principal("", &[]), Action::Send, destination),
            allowed,
            "{pattern} {destination}"
        );
    }
}

#[test]
fn a_wildcard_subscription_needs_every_destination_that_it_covers() {
    for (pattern, asked, allowed) in [
        ("/topic/**", "/topic/**", true),
        ("/topic/**", "/topic/a.*", true),
        ("/topic/**", "/topic.>", true),
        ("/topic/*", "/topic/*", true),
        ("/topic/*", "/topic/**", false),
        ("/topic/*", "/topic/#", false),
        ("/topic/a", "/topic/*", false),
        ("/topic/*/b", "/topic/a/*", false),
        ("/topic/a/**", "/topic/**", false),
        ("/topic/**", "/**", false),
        ("/topic/**", "/topic/#.a", true),
        ("/topic/a", "/topic/a/**", false),
        ("/topic/**/z", "/topic/a/z", true),
        ("/topic/**/z", "/topic/z", true),
        ("/topic/**/z", "/topic/*/z", true),
        ("/topic/**/z", "/topic/**/z", true),
        ("/topic/**/z", "/topic/a/#/b/z", true),
        ("/topic/**/z", "/topic/**", false),
        ("/topic/**/z", "/topic/*", false),
        ("/topic/**/*/z", "/topic/*/>/z", false),
        ("/topic/*/z", "/topic/**/z", false),
    ] {
        assert_allows(&everybody_may(&[pattern]), "ann", asked, allowed);
    }
}

#[test]
fn a_denied_part_denies_the_whole_wildcard_subscription() {
    let policy = policy(vec![
        rule(&BOTH, &["/topic/a/secret", "/topic/*/hidden/**"], Allow::Nobody {}),
        rule(&BOTH, &["/topic/**"], Allow::Anyone {}),
    ]);
    for (asked, allowed) in [
        ("/topic/a/*", false),
        ("/topic/*.secret", false),
        ("/topic/**", false),
        ("/topic/b/*", false),
        ("/topic/b/secret", true),
        ("/topic/*/open", true),
        ("/topic/*/secret/x", true),
    ] {
        assert_allows(&policy, "ann", asked, allowed);
    }
}

#[test]
fn a_wildcard_in_the_middle_denies_what_it_may_reach_and_nothing_else() {
    let policy = policy(vec![
        rule(&BOTH, &["/topic/**/secret/**/key"], Allow::Nobody {}),
        rule(&BOTH, &["/topic/**"], Allow::Anyone {}),
    ]);
    for (asked, allowed) in [
        ("/topic/secret/key", false),
        ("/topic/a/secret/b/c/key", false),
        ("/topic/a/key/secret", true),
        ("/topic/**/key", false),
        ("/topic/**/open", true),
        ("/topic/*/secret/**", false),
        ("/topic/a/**/b", true),
        ("/topic/*/key", false),
        ("/topic/*/lock", true),
    ] {
        assert_allows(&policy, "ann", asked, allowed);
    }
}

#[test]
fn the_placeholder_is_the_users_own_name_and_nothing_more() {
    let policy = everybody_may(&["/topic/users/{user}/**", "/queue/box-{user}"]);
    for (user, destination, allowed) in [
        ("ann", "/topic/users/ann/a", true),
        ("ann", "/topic/users/bob/a", false),
        ("ann", "/queue/box-ann", true),
        ("ann", "/queue/box-anna", false),
        ("", "/topic/users//a", false),
        ("", "/queue/box-", false),
        ("*", "/topic/users/bob/a", false),
        ("*", "/topic/users/*/a", false),
        ("*", "/topic/users/=2A/a", true),
        ("**", "/topic/users/**", false),
        ("ann/b", "/topic/users/ann/b/c", false),
        ("ann.b", "/topic/users/ann.b/c", false),
        ("ann.b", "/topic/users/ann=2Eb/c", true),
        ("ann=2Eb", "/topic/users/ann=2Eb/c", false),
        ("ann=2Eb", "/topic/users/ann=3D2Eb/c", true),
        ("zoë@id", "/topic/users/zoë@id/c", true),
    ] {
        assert_allows(&policy, user, destination, allowed);
    }
}

#[test]
fn an_upstreams_wildcards_reach_to_the_end() {
    for (pattern, asked, allowed) in [
        ("/topic/a.*", "/topic/a.*", false),
        ("/topic/a.**", "/topic/a.*", true),
        ("/topic/a.**", "/topic/a.b*", true),
        ("/topic/a.*", "/topic/a.b*", false),
        ("/topic/a.*", "/topic/a.b", true),
    ] {
        assert_allows(&everybody_may(&[pattern]).for_upstream(), "ann", asked, allowed);
    }
}

#[test]
fn a_denied_destination_cannot_be_written_in_another_way_for_an_upstream() {
    let rules =
        vec![rule(&BOTH, &["/topic/secret/**"], Allow::Nobody {}), rule(&BOTH, &["/topic/**"], Allow::Anyone {})];
    let policy = policy(rules).for_upstream();
    for asked in [
        "/topic/%73ecret/x",
        "/topic/a,/topic/secret",
        "/topic/secret?a=b",
        "/topic/secret::q",
        "/topic/a,topic://secret",
    ] {
        assert_allows(&policy, "ann", asked, false);
    }
    assert_allows(&policy, "ann", "/topic/a,/topic/b", true);
}

#[test]
fn a_rule_that_cannot_work_is_refused() {
    let authorization = Authorization { rules: vec![rule(&BOTH, &["/topic/a*"], Allow::Anyone {})] };
    assert_eq!(Policy::new(Some(&authorization)).unwrap_err().key, "rules[0].destinations[0]");
}

/// The meaning of patterns once more, as plainly as possible.
fn matches(pattern: &[&str], destination: &[&str]) -> bool {
    match (pattern.split_first(), destination.split_first()) {
        (None, None) => true,
        (Some((&("**" | "#" | ">"), rest)), _) => {
            matches(rest, destination) || destination.split_first().is_some_and(|(_, left)| matches(pattern, left))
        }
        (Some((&p, pattern)), Some((&d, destination))) => (p == "*" || p == d) && matches(pattern, destination),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether two patterns have a destination in common, as plainly as possible.
fn share(one: &[&str], other: &[&str]) -> bool {
    let is_rest = |segment: &str| ["**", "#", ">"].contains(&segment);
    match (one.split_first(), other.split_first()) {
        (None, None) => true,
        (Some((&p, rest)), _) if is_rest(p) => {
            share(rest, other) || other.split_first().is_some_and(|(_, left)| share(one, left))
        }
        (_, Some((&q, rest))) if is_rest(q) => {
            share(one, rest) || one.split_first().is_some_and(|(_, left)| share(left, other))
        }
        (Some((&p, one)), Some((&q, other))) => (p == "*" || q == "*" || p == q) && share(one, other),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn split(text: &str) -> Vec<&str> {
    text.split(['/', '.']).collect()
}

fn segment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "ann", "*", "a", "b", "ann", "*", "**", "#"])
}

fn path(wildcards: bool) -> impl Strategy<Value = String> {
    let last = prop::sample::select(vec!["", "", "**", "#", ">"]);
    (prop::collection::vec((segment(), prop::sample::select(vec!["/", "."])), 0..4), last).prop_map(
        move |(segments, last)| {
            let mut path = "/t".to_owned();
            for (segment, separator) in segments {
                path.push_str(separator);
                path.push_str(if !wildcards && ["*", "**", "#"].contains(&segment) { "b" } else { segment });
            }
            if wildcards && !last.is_empty() {
                path.push('/');
                path.push_str(last);
            }
            path
        },
    )
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let pattern =
        prop_oneof![4 => path(true), 1 => Just("/t/{user}/**".to_owned()), 1 => Just("/t/*/{user}".to_owned())];
    let allow = prop_oneof![
        3 => Just(Allow::Anyone {}),
        2 => Just(Allow::Nobody {}),
        1 => Just(Allow::Users(vec!["ann".to_owned()])),
    ];
    (prop::collection::vec(pattern, 1..3), allow).prop_map(|(destinations, allow)| Rule {
        actions: vec![Action::Subscribe],
        destinations,
        allow,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn an_allowed_wildcard_subscription_covers_nothing_denied(
        rules in prop::collection::vec(any_rule(), 1..5),
        asked in path(true),
        concrete in path(false),
        upstream: bool,
    ) {
        let policy = if upstream { policy(rules).for_upstream() } else { policy(rules) };
        let covered = matches(&split(&asked), &split(&concrete));
        for who in [principal("ann", &[]), principal("", &[])] {
            if covered && policy.allows(&who, Action::Subscribe, &asked) {
                prop_assert!(policy.allows(&who, Action::Subscribe, &concrete), "{asked} lets {concrete} through");
            }
        }
    }

    #[test]
    fn a_wildcard_subscription_is_allowed_where_no_denied_destination_is_in_it(
        denied in path(true),
        asked in path(true),
    ) {
        let rules = vec![rule(&BOTH, &[&denied], Allow::Nobody {}), rule(&BOTH, &["/**"], Allow::Anyone {})];
        let allowed = policy(rules).allows(&principal("ann", &[]), Action::Subscribe, &asked);
        prop_assert_eq!(allowed, !share(&split(&denied), &split(&asked)), "{} {}", denied, asked);
    }

    #[test]
    fn what_the_rules_say_of_one_destination_is_what_the_first_match_says(
        rules in prop::collection::vec(any_rule(), 0..5),
        concrete in path(false),
    ) {
        let expected = rules.iter().find_map(|rule| {
            let hit = rule.destinations.iter().any(|pattern| {
                let own = pattern.replace("{user}", "ann");
                matches(&split(&own), &split(&concrete))
            });
            hit.then_some(rule.allow != Allow::Nobody {})
        });
        let allowed = policy(rules).allows(&principal("ann", &[]), Action::Subscribe, &concrete);
        prop_assert_eq!(allowed, expected.unwrap_or(false));
    }
}

/// A principal whose token says this of its tenant.
fn tenant(value: &str) -> Principal {
    Principal { claims: Some([("tenant".into(), value.into())].into()), ..principal("ann", &[]) }
}

#[test]
fn a_claim_stands_for_its_value_and_never_for_more() {
    let policy = everybody_may(&["/topic/{claim.tenant}/*", "/queue/x-{claim.tenant}.{user}"]);
    for (value, destination, allowed) in [
        ("red", "/topic/red/a", true),
        ("red", "/topic/blue/a", false),
        ("red", "/topic/red/*", true),
        ("red", "/topic/*/a", false),
        ("red", "/queue/x-red.ann", true),
        ("red", "/queue/x-red.bob", false),
        ("*", "/topic/blue/a", false),
        ("*", "/topic/*/a", false),
        ("*", "/topic/=2A/a", true),
        ("a/b", "/topic/a/b", false),
        ("a.b", "/topic/a=2Eb/c", true),
        ("", "/topic//a", false),
    ] {
        assert_eq!(policy.allows(&tenant(value), Action::Subscribe, destination), allowed, "{value} {destination}");
    }
    let nobody = principal("ann", &[]);
    assert!(!policy.allows(&nobody, Action::Subscribe, "/topic//a"), "a session without the claim");
}

#[test]
fn a_rule_about_a_claim_that_a_session_lacks_is_passed_over() {
    let policy = policy(vec![
        rule(&BOTH, &["/topic/{claim.tenant}/**"], Allow::Nobody {}),
        rule(&BOTH, &["/topic/**"], Allow::Authenticated {}),
    ]);
    assert!(!policy.allows(&tenant("red"), Action::Send, "/topic/red/a"));
    assert!(policy.allows(&tenant("blue"), Action::Send, "/topic/red/a"));
    assert!(policy.allows(&principal("ann", &[]), Action::Send, "/topic/red/a"));
}
