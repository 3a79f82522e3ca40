//! Secrets of logins: what is seen of them, and what is done with them. No value leaves this file.
//!
//! Every write is of the whole Secret, made from its values as they were just read, and refused by the API server if somebody
//! else has written meanwhile: no value is lost for having been forgotten, and each step of a rotation is done at once or not
//! at all, the time and the wishes that belong to it included.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    ByteString,
    api::core::v1::{Pod, Secret},
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, ObjectMeta},
};
use stompbroker_config::{ROTATION_FILE, login_digest, login_digest_key};
use tracing::info;

use super::apply::{Pass, number};
use crate::{
    api::{REVERT_CREDENTIALS, ROTATE_CREDENTIALS},
    controller::{kinds::ChildKind, memory::GeneratedSight, watches::views::version},
    error::Error,
    metrics::ReasonLabel,
    observed::{LoginView, Observed, SecretView},
    plan::{
        LoginSecret, Origin, labels, names,
        rotation::{Matches, Step, Values},
    },
    random,
    validate::{LOGIN_KEYS, Wishes},
};

/// Annotation of a Secret: since when consumers have the value in use.
const SWITCHED_AT: &str = "stompbroker.dev/switched-at";
/// What the keys of the value that comes begin with.
const NEXT: &str = "next.";
/// What the keys of the value that goes begin with.
const PREVIOUS: &str = "previous.";

/// A version that no object has: what is applied with it is created, or refused because there is one after all.
const NO_VERSION: &str = "1";

type Data = BTreeMap<String, ByteString>;

/// Name and password.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    username: ByteString,
    password: ByteString,
}

impl Pair {
    /// The pair under these keys; absent when one of them has no value.
    fn read(data: &Data, prefix: &str) -> Option<Self> {
        let value = |key: &str| data.get(&format!("{prefix}{key}")).filter(|value| !value.0.is_empty()).cloned();
        let [username, password] = LOGIN_KEYS;
        Some(Self { username: value(username)?, password: value(password)? })
    }

    fn write(self, data: &mut Data, prefix: &str) {
        let [username, password] = LOGIN_KEYS;
        data.insert(format!("{prefix}{username}"), self.username);
        data.insert(format!("{prefix}{password}"), self.password);
    }

    /// A new value for a login.
    async fn fresh(pass: &Pass<'_>, origin: &Origin) -> Result<Self, Error> {
        match origin {
            Origin::Generated { username } => Ok(Self {
                username: ByteString(username.as_bytes().to_vec()),
                password: ByteString(random::value().map_err(Error::Random)?.into_bytes()),
            }),
            Origin::Copied { secret_name } => {
                let source = get(pass, secret_name).await?;
                Self::read(&source.data.unwrap_or_default(), "").ok_or_else(|| lost(secret_name))
            }
        }
    }
}

/// All values of a Secret; absent when it has none for now.
fn read(data: &Data) -> Option<Values<Pair>> {
    let rotation = data.get(ROTATION_FILE).map(|id| String::from_utf8_lossy(&id.0).into_owned());
    let (next, previous) = (Pair::read(data, NEXT), Pair::read(data, PREVIOUS));
    Some(Values { now: Pair::read(data, "")?, next, previous, rotation })
}

fn write(values: Values<Pair>, data: &mut Data) {
    let Values { now, next, previous, rotation } = values;
    for (pair, prefix) in [(Some(now), ""), (next, NEXT), (previous, PREVIOUS)] {
        if let Some(pair) = pair {
            pair.write(data, prefix);
        }
    }
    if let Some(rotation) = rotation {
        data.insert(ROTATION_FILE.to_owned(), octets(&rotation));
    }
}

/// The key of digests, from the Secret with the admin token.
pub(super) fn digest_key(admin: &Secret) -> Option<[u8; 32]> {
    let token = admin.data.as_ref()?.get(names::ADMIN_TOKEN_KEY)?;
    std::str::from_utf8(&token.0).ok().map(login_digest_key)
}

/// What the pure steps may know of the Secret of a login, whose values come from `source` when the user has one.
pub(super) fn view(secret: &Secret, source: Option<&Secret>, key: Option<&[u8; 32]>) -> LoginView {
    let data = secret.data.clone().unwrap_or_default();
    let values = read(&data);
    let annotation = |name: &str| secret.annotations().get(name).cloned();
    let switched_at = annotation(SWITCHED_AT).and_then(|text| text.parse().ok());
    let created = secret.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let matches = source.and_then(|source| {
        let source = Pair::read(source.data.as_ref()?, "")?;
        let values = values.as_ref()?;
        let is = |value: Option<&Pair>| value == Some(&source);
        Some(match () {
            () if is(Some(&values.now)) => Matches::Now,
            () if is(values.next.as_ref()) => Matches::Next,
            () if is(values.previous.as_ref()) => Matches::Previous,
            () => Matches::None,
        })
    });
    LoginView {
        holds: values.map(|values| values.holds()).unwrap_or_default(),
        digest: key.and_then(|key| login_digest(key, |file| data.get(file).map(|value| value.0.clone()))),
        matches,
        switched_at: switched_at.or(created).unwrap_or_default(),
        wishes: Wishes { rotate: annotation(ROTATE_CREDENTIALS), revert: annotation(REVERT_CREDENTIALS) },
    }
}

/// Creates the Secret of a login, does the next step of its rotation, or keeps current what is no secret of it.
pub(super) async fn apply(
    pass: &mut Pass<'_>,
    login: &LoginSecret,
    seen: Option<&GeneratedSight>,
    observed: &Observed,
) -> Result<(), Error> {
    let name = login.metadata.name.clone().unwrap_or_default();
    pass.outcome.wanted.insert((ChildKind::Secret, name.clone()));
    let desired = number(&(&login.metadata, &login.type_, &login.fixed, &login.address))
        .map_err(|source| Error::Serialize { kind: "Secret", name: name.clone(), source })?;
    let entry = match seen.map(|seen| (&seen.view, &seen.entry)) {
        Some((SecretView::Present(keys), Some(entry))) => {
            if let Some(key) = LOGIN_KEYS.into_iter().find(|key| !keys.contains(*key)) {
                return Err(Error::SecretKeyLost { name, key });
            }
            entry
        }
        Some((SecretView::Missing, _)) => return create(pass, login, desired).await,
        Some((SecretView::Unreadable(why), _)) => return Err(Error::SecretUnreadable { name, why: why.clone() }),
        Some((SecretView::Present(_), None)) | None => {
            return Err(Error::SecretUnreadable { name, why: "it was not looked at".to_owned() });
        }
    };
    if login.step == Step::Keep && pass.is_as_applied(ChildKind::Secret, &name, desired, entry) {
        return Ok(());
    }
    let live = get(pass, &name).await?;
    if version(&live.metadata) != entry.version
        || login.step == Step::Switch && !knows_all_pods(pass, login, observed).await?
    {
        pass.outcome.outdated = true;
        return Ok(());
    }
    let values = live.data.as_ref().and_then(read).ok_or_else(|| lost(&name))?;
    let fresh = match login.step {
        Step::Stage => Some((Pair::fresh(pass, &login.origin).await?, random::value().map_err(Error::Random)?)),
        _ => None,
    };
    let remembered = Remembered::of(&live).after(login);
    let mut body = secret(login, values.after(login.step, fresh), remembered);
    body.metadata.resource_version = live.resource_version();
    let written = pass.write(&body, desired, Some(entry)).await;
    if pass.unless_outdated(written)?.is_some() && login.step != Step::Keep {
        let reason = login.step.as_str();
        info!(name, step = reason, "a login is rotated");
        pass.context.metrics.rotation_steps.get_or_create(&ReasonLabel { reason }).inc();
        pass.outcome.steps.insert(name, login.step);
    }
    Ok(())
}

async fn create(pass: &mut Pass<'_>, login: &LoginSecret, desired: u64) -> Result<(), Error> {
    let now = Pair::fresh(pass, &login.origin).await?;
    let values = Values { now, next: None, previous: None, rotation: None };
    let remembered = Remembered { switched_at: Some(login.now.to_string()), wishes: login.wishes.clone() };
    let mut body = secret(login, values, remembered);
    body.metadata.resource_version = Some(NO_VERSION.to_owned());
    let written = pass.write(&body, desired, None).await;
    if let (Some(made), Some(key), Origin::Generated { .. }) =
        (pass.unless_outdated(written)?, &pass.digest_key, &login.origin)
    {
        // Only made when it was not there, so it is what was sent.
        let sight = GeneratedSight { login: Some(view(&body, None, Some(key))), ..GeneratedSight::of(&body, made) };
        pass.outcome.made.insert(body.name_any(), sight);
    }
    Ok(())
}

/// What annotations of the Secret keep.
struct Remembered {
    switched_at: Option<String>,
    wishes: Wishes,
}

impl Remembered {
    fn of(live: &Secret) -> Self {
        let annotation = |name: &str| live.annotations().get(name).cloned();
        let wishes = Wishes { rotate: annotation(ROTATE_CREDENTIALS), revert: annotation(REVERT_CREDENTIALS) };
        let created = live.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
        Self { switched_at: annotation(SWITCHED_AT).or(created), wishes }
    }

    /// With what the step of `login` leaves to be remembered. A wish to revert from before a rotation is none to revert it.
    fn after(mut self, login: &LoginSecret) -> Self {
        if matches!(login.step, Step::Switch | Step::SwitchBack) {
            self.switched_at = Some(login.now.to_string());
        }
        if login.step == Step::Stage {
            self.wishes.rotate = login.wishes.rotate.clone().or(self.wishes.rotate);
        }
        if matches!(login.step, Step::Stage | Step::Unstage | Step::SwitchBack) {
            self.wishes.revert = login.wishes.revert.clone().or(self.wishes.revert);
        }
        self
    }
}

fn secret(login: &LoginSecret, values: Values<Pair>, remembered: Remembered) -> Secret {
    let mut data: Data = login.fixed.iter().map(|(key, value)| (key.clone(), octets(value))).collect();
    let text = |value: &ByteString| String::from_utf8_lossy(&value.0).trim_end_matches(['\r', '\n']).to_owned();
    let uri = login.address.with_login(&text(&values.now.username), &text(&values.now.password));
    data.insert("uri".to_owned(), octets(&uri));
    write(values, &mut data);
    let Remembered { switched_at, wishes: Wishes { rotate, revert } } = remembered;
    let annotations = [(SWITCHED_AT, switched_at), (ROTATE_CREDENTIALS, rotate), (REVERT_CREDENTIALS, revert)];
    let annotations = annotations.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Secret {
        metadata: ObjectMeta { annotations: Some(annotations.collect()), ..login.metadata.clone() },
        type_: Some(login.type_.clone()),
        data: Some(data),
        ..Secret::default()
    }
}

/// Whether the API server itself knows of no pods but those that were asked: one that a watch has not shown yet may have taken
/// up the Secret as it was before.
async fn knows_all_pods(pass: &Pass<'_>, login: &LoginSecret, observed: &Observed) -> Result<bool, Error> {
    let known: BTreeSet<&str> = observed.pods.iter().map(|pod| pod.uid.as_str()).collect();
    let api: Api<Pod> = Api::namespaced(pass.context.client.clone(), &pass.namespace);
    let selector = labels::to_text(&labels::selector(&login.broker));
    let pods = api.list_metadata(&ListParams::default().labels(&selector)).await;
    let pods = pods.map_err(|source| Error::Observe { kind: "Pod", name: selector, source })?;
    Ok(pods.items.iter().all(|pod| pod.metadata.uid.as_deref().is_some_and(|uid| known.contains(uid))))
}

async fn get(pass: &Pass<'_>, name: &str) -> Result<Secret, Error> {
    let api: Api<Secret> = Api::namespaced(pass.context.client.clone(), &pass.namespace);
    api.get(name).await.map_err(|source| Error::Observe { kind: "Secret", name: name.to_owned(), source })
}

fn lost(name: &str) -> Error {
    Error::SecretKeyLost { name: name.to_owned(), key: LOGIN_KEYS[1] }
}

fn octets(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}
