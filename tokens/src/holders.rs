//! Which of Parlor's programs show a token to the others, and what for.

use std::time::Duration;

/// How long a token holds. Made anew at half of that, so that whoever makes them may be away for hours.
pub const LIFE: Duration = Duration::from_hours(24);
/// The operator, as its file is called.
pub const OPERATOR_TOKEN: &str = "operator";
/// chat-service, as its file is called.
pub const CHAT_TOKEN: &str = "chat";
/// All of them with their scopes.
pub const HOLDERS: [(&str, &[&str]); 2] = [(OPERATOR_TOKEN, &["rooms"]), (CHAT_TOKEN, &["presence", "users"])];
