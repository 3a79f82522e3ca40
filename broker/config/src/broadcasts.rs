//! The two topics by which pods and Spring applications that share an upstream reach each other's users.

/// What is wrong with a key below `engine.relay`, and what would be right.
type Problem = (&'static str, String);

/// Checks that each broadcast has a topic of its own, and that users are reached at all where others are told of them.
///
/// # Errors
/// The key below `engine.relay`, and what is wrong and would be right.
pub fn check_broadcasts(users: Option<&str>, registry: Option<&str>) -> Result<(), Problem> {
    for (key, topic) in [("userDestinationBroadcast", users), ("userRegistryBroadcast", registry)] {
        let Some(topic) = topic else { continue };
        if !topic.starts_with("/topic/") || topic.len() == 7 || topic.contains(['*', '#', '>']) {
            return Err((key, format!("{topic:?} is not one topic; write for example /topic/unresolved-user")));
        }
    }
    match (users, registry) {
        (None, Some(_)) => {
            let problem = "users would be told of and not be reached; set userDestinationBroadcast too";
            Err(("userRegistryBroadcast", problem.to_owned()))
        }
        (Some(users), Some(registry)) if users == registry => {
            let problem = format!("{registry:?} is userDestinationBroadcast too; give each a topic of its own");
            Err(("userRegistryBroadcast", problem))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broadcast_is_one_topic_of_its_own_and_none_is_told_of_users_that_it_cannot_reach() {
        let (users, registry) = (Some("/topic/unresolved-user"), Some("/topic/user-registry"));
        for (users, registry) in [(None, None), (users, None), (users, registry)] {
            assert_eq!(check_broadcasts(users, registry), Ok(()));
        }
        for (users, registry, key, remedy) in [
            (Some("/queue/a"), None, "userDestinationBroadcast", "not one topic"),
            (Some("/topic/"), None, "userDestinationBroadcast", "not one topic"),
            (users, Some("/topic/*"), "userRegistryBroadcast", "not one topic"),
            (users, users, "userRegistryBroadcast", "of its own"),
            (None, registry, "userRegistryBroadcast", "set userDestinationBroadcast"),
        ] {
            let (field, problem) = check_broadcasts(users, registry).unwrap_err();
            assert!(field == key && problem.contains(remedy), "{field}: {problem}");
        }
    }
}
