//! Sessions in Redis: made at login, prolonged by each refresh, gone when Redis loses them. Each change is one script, so that two
//! requests with one token cannot both be the first.

use std::time::Duration;

use redis::Script;
use service::cache::Cache;
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use refresh_token::RefreshToken;

use crate::revocations::Revocations;
use crate::stem::STEM;

mod refresh_token;

/// How long a session lasts without being used.
pub(crate) const LIFE: Duration = Duration::from_hours(30 * 24);
/// How long a used token is forgiven: its answer may have been lost.
const GRACE: Duration = Duration::from_secs(10);
/// How often one is forgiven within that time.
const FORGIVEN: u32 = 15;
/// Sessions a user may have; one more ends the one that was not used for the longest time.
const SESSIONS_EACH: u32 = 100;
/// Verifiers' clocks may be behind ours by this much.
const CLOCKS: Duration = Duration::from_secs(30);

/// Why a session could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Redis did not answer, or with an error.
    #[error("failed to ask Redis about sessions")]
    Redis(#[source] redis::RedisError),
    /// Something else wrote there.
    #[error("failed to read what Redis holds about a session: {0}")]
    Shape(&'static str),
}

/// Who a session belongs to, as they were called when it was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) user: Uuid,
    pub(crate) username: String,
    pub(crate) display_name: String,
}

/// An entry of the list of sessions.
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) device: Option<String>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) last_used_at: OffsetDateTime,
}

/// What became of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// Good: the next one counts from now on.
    Rotated,
    /// No session has it.
    Unknown,
    /// Never used, but another one took its place: its answer came too late.
    Void,
    /// Forgiven too often within the grace.
    Crowded,
    /// It had been used: the session is over.
    Reused,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sessions {
    cache: Cache,
    revocations: Revocations,
    scripts: std::sync::Arc<Scripts>,
    /// After this many seconds no access token of a session that ended now can be valid.
    access_seconds: u64,
}

struct Scripts {
    create: Script,
    rotate: Script,
    end: Script,
    list: Script,
}

macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(
            include_str!("revocations/record.lua"),
            include_str!("sessions/record.lua"),
            include_str!(concat!("sessions/", $file))
        ))
    };
}

impl Sessions {
    /// `access_life`: how long access tokens hold.
    pub(crate) fn new(cache: Cache, revocations: Revocations, access_life: Duration) -> Self {
        let scripts = Scripts {
            create: script!("create.lua"),
            rotate: script!("rotate.lua"),
            end: script!("end.lua"),
            list: script!("list.lua"),
        };
        Self { cache, revocations, scripts: scripts.into(), access_seconds: (access_life + CLOCKS).as_secs() }
    }

    /// Begins a session, whose first token this is.
    pub(crate) async fn create(&self, token: &RefreshToken, holder: &Holder, device: &str) -> Result<(), Error> {
        let args = [
            token.session().to_string(),
            holder.user.to_string(),
            holder.username.clone(),
            holder.display_name.clone(),
            device.to_owned(),
            token.family_digest(),
            token.digest(),
            LIFE.as_millis().to_string(),
            SESSIONS_EACH.to_string(),
            self.access_seconds.to_string(),
        ];
        self.run::<()>(&self.scripts.create, &args).await
    }

    /// Who the session belongs to; `None`: there is no such session (any more).
    pub(crate) async fn holder(&self, session: Uuid) -> Result<Option<Holder>, Error> {
        let mut command = redis::cmd("HMGET");
        command.arg(format!("{STEM}:session:{session}")).arg(&["user", "username", "display_name"]);
        let found: (Option<String>, Option<String>, Option<String>) =
            self.cache.run(&command).await.map_err(Error::Redis)?;
        let (Some(user), Some(username), Some(display_name)) = found else { return Ok(None) };
        Ok(Some(Holder { user: id(&user)?, username, display_name }))
    }

    /// Trades a token for the next one.
    pub(crate) async fn rotate(
        &self,
        token: &RefreshToken,
        next: &RefreshToken,
        holder: &Holder,
    ) -> Result<Rotation, Error> {
        let args = [
            token.session().to_string(),
            token.family_digest(),
            token.digest(),
            next.digest(),
            holder.username.clone(),
            holder.display_name.clone(),
            LIFE.as_millis().to_string(),
            GRACE.as_millis().to_string(),
            FORGIVEN.to_string(),
            self.access_seconds.to_string(),
        ];
        match self.run::<String>(&self.scripts.rotate, &args).await?.as_str() {
            "rotated" => Ok(Rotation::Rotated),
            "unknown" => Ok(Rotation::Unknown),
            "void" => Ok(Rotation::Void),
            "crowded" => Ok(Rotation::Crowded),
            "reused" => {
                self.revocations.look();
                Ok(Rotation::Reused)
            }
            _ => Err(Error::Shape("an unknown answer to a rotation")),
        }
    }

    /// The user's sessions, the one used last first.
    pub(crate) async fn list(&self, user: Uuid) -> Result<Vec<Session>, Error> {
        let found: Vec<String> = self.run(&self.scripts.list, &[user.to_string()]).await?;
        found.chunks_exact(4).map(session).collect()
    }

    /// Ends a session of which the caller holds a token.
    pub(crate) async fn end(&self, user: Uuid, session: Uuid) -> Result<(), Error> {
        self.end_which(user, "this", session).await.map(drop)
    }

    /// Ends a session if it is one of the user's; `false`: it is not.
    pub(crate) async fn end_listed(&self, user: Uuid, session: Uuid) -> Result<bool, Error> {
        Ok(self.end_which(user, "listed", session).await? > 0)
    }

    /// Ends all of the user's sessions but this one; how many they were.
    pub(crate) async fn end_others(&self, user: Uuid, keep: Uuid) -> Result<u64, Error> {
        self.end_which(user, "others", keep).await
    }

    async fn end_which(&self, user: Uuid, which: &str, session: Uuid) -> Result<u64, Error> {
        let args = [user.to_string(), which.to_owned(), session.to_string(), self.access_seconds.to_string()];
        let ended = self.run(&self.scripts.end, &args).await?;
        self.revocations.look();
        Ok(ended)
    }

    async fn run<T: redis::FromRedisValue>(&self, script: &Script, args: &[String]) -> Result<T, Error> {
        self.cache.script(script, STEM, args).await.map_err(Error::Redis)
    }
}

fn session(fields: &[String]) -> Result<Session, Error> {
    let [session, device, created, used] = fields else { return Err(Error::Shape("a session lacks fields")) };
    Ok(Session {
        id: id(session)?,
        device: Some(device.clone()).filter(|device| !device.is_empty()),
        created_at: moment(created)?,
        last_used_at: moment(used)?,
    })
}

fn id(text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::Shape("an id is no UUID"))
}

fn moment(milliseconds: &str) -> Result<OffsetDateTime, Error> {
    let parsed: i128 = milliseconds.parse().map_err(|_| Error::Shape("a time is no number"))?;
    OffsetDateTime::from_unix_timestamp_nanos(parsed * 1_000_000).map_err(|_| Error::Shape("a time is out of range"))
}
