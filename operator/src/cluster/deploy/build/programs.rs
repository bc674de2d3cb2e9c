//! The programs of a platform: gateways, historians, user-service.

use tokens::holders::CHAT_TOKEN;

use super::program::{self, FILES, Program};
use super::secrets::{CHAT, KEYS, TOKENS, USERS, chat_version, users_version};
use super::{Object, Platform};
use crate::crd::chat_platform::{Pods, Registration};

/// Beside what a program is told to take for its end.
const GRACE: u32 = 15;
/// The end of a program that has no sockets.
const SHORT: u32 = 30;
/// What the parts are called.
pub(crate) const GATEWAY: &str = "gateway";
/// See [`GATEWAY`].
pub(crate) const HISTORIAN: &str = "historian";
/// See [`GATEWAY`].
pub(crate) const USER_SERVICE: &str = "users";
/// Health of chat-service.
pub(crate) const CHAT_HEALTH: u16 = 8090;
/// Health of user-service.
pub(crate) const USERS_HEALTH: u16 = 8091;

pub(super) fn objects(platform: &Platform<'_>) -> Vec<Object> {
    let programs = [gateway(platform), historian(platform), users(platform)];
    programs.iter().flat_map(|program| program::objects(platform, program)).collect()
}

fn gateway<'a>(platform: &Platform<'a>) -> Program<'a> {
    let gateway = &platform.chat.gateway;
    let drain = &gateway.drain;
    let mut program = chat(platform, GATEWAY, &gateway.pods);
    program.env.push(("DRAIN_SECONDS", drain.seconds.max(1).to_string()));
    program.env.push(("DRAIN_SPREAD_SECONDS", drain.spread_seconds.to_string()));
    program.ports = vec![("http", 8080), ("grpc", 9090)];
    program.grace = drain.seconds + GRACE;
    program
}

fn historian<'a>(platform: &Platform<'a>) -> Program<'a> {
    chat(platform, HISTORIAN, &platform.chat.historian.pods)
}

/// chat-service with one role.
fn chat<'a>(platform: &Platform<'a>, role: &'static str, pods: &'a Pods) -> Program<'a> {
    Program {
        part: role,
        image: &platform.chat.image,
        args: vec![format!("--roles={role}")],
        env: vec![
            ("USERS_URL", platform.users_url()),
            ("USERS_GRPC", platform.inside(USER_SERVICE, 9091)),
            ("JWKS_URL", format!("{}/.well-known/jwks.json", platform.inside(USER_SERVICE, 8081))),
            ("ISSUER", platform.issuer()),
            ("SERVICE_TOKEN_FILE", format!("{FILES}/{TOKENS}/{CHAT_TOKEN}")),
        ],
        secret: CHAT,
        version: chat_version(platform),
        files: vec![TOKENS],
        ports: vec![],
        health: CHAT_HEALTH,
        grace: SHORT,
        pods,
    }
}

fn users<'a>(platform: &Platform<'a>) -> Program<'a> {
    let registration = match platform.users.registration {
        Registration::Open => "open",
        Registration::Invite => "invite",
        Registration::Closed => "closed",
    };
    let mut env = vec![
        ("KEYS_DIR", format!("{FILES}/{KEYS}")),
        ("ISSUER", platform.issuer()),
        ("REGISTRATION", registration.to_owned()),
    ];
    if platform.spec.ingress.is_some() {
        env.push(("TRUST_FORWARDED", "true".to_owned()));
    }
    if let Some(pages) = platform.pages() {
        env.push(("ALLOWED_ORIGINS", pages.to_owned()));
    }
    Program {
        part: USER_SERVICE,
        image: &platform.users.image,
        args: vec![],
        env,
        secret: USERS,
        version: users_version(platform),
        files: vec![KEYS],
        ports: vec![("http", 8081), ("grpc", 9091)],
        health: USERS_HEALTH,
        grace: SHORT,
        pods: &platform.users.pods,
    }
}
