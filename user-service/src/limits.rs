//! How often who may ask for what. Over a limit the answer says when to come again.

use std::net::IpAddr;
use std::time::Duration;

use service::limits::{Limiter, Rate};
use service::problem::{Code, Problem};
use uuid::Uuid;

/// Per user, 10 a minute.
const LOGINS: Rate = Rate { per: Duration::from_secs(6), burst: 10 };
/// Per address, 60 a minute.
const SIGN_INS: Rate = Rate { per: Duration::from_secs(1), burst: 60 };
/// Per address, 30 a minute.
const REGISTRATIONS: Rate = Rate { per: Duration::from_secs(2), burst: 30 };
/// Per user, 10 a minute: whoever has a stolen access token may not guess the password with it.
const PASSWORD_CHANGES: Rate = Rate { per: Duration::from_secs(6), burst: 10 };

/// The limits of this service.
#[derive(Clone)]
pub(crate) struct Limits(Limiter);

impl Limits {
    /// Over Redis, or none.
    pub(crate) fn new(limiter: Limiter) -> Self {
        Self(limiter)
    }

    /// A login, right or wrong: of its address and of the name, whether somebody has it or not.
    pub(crate) async fn login(&self, address: IpAddr, username: &str) -> Result<(), Problem> {
        let of_address = format!("sign-in:{}", network(address));
        if !contract::username::is_valid(username) {
            return self.check(&of_address, SIGN_INS).await;
        }
        // At the same time, so that a Redis that hangs costs one limit of time, not two.
        let of_user = format!("login:{username}");
        let (address, user) = tokio::join!(self.check(&of_address, SIGN_INS), self.check(&of_user, LOGINS));
        address.and(user)
    }

    /// A registration, granted or not.
    pub(crate) async fn registration(&self, address: IpAddr) -> Result<(), Problem> {
        self.check(&format!("register:{}", network(address)), REGISTRATIONS).await
    }

    /// A change of password.
    pub(crate) async fn password_change(&self, user: Uuid) -> Result<(), Problem> {
        self.check(&format!("password:{user}"), PASSWORD_CHANGES).await
    }

    async fn check(&self, key: &str, rate: Rate) -> Result<(), Problem> {
        let outcome = self.0.check(key, rate).await;
        outcome.map_err(|wait| Problem::new(Code::RateLimited, "too many requests of this kind").retry_after(wait))
    }
}

/// Who counts as one: an IPv4 address, or a /64 of IPv6, which is the least that a customer gets.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn addresses_of_one_customer_count_as_one() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
