//! Somebody with an account, as seen by user-service over REST.

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};

/// A registered person who is signed in.
#[derive(Clone)]
pub struct Person {
    /// The name in the account.
    pub username: String,
    /// In clear, for signing in again.
    pub password: String,
    /// UUIDv7.
    pub id: String,
    /// A bearer token of 10 minutes.
    pub access_token: String,
    /// Good for one refresh.
    pub refresh_token: String,
}

impl Person {
    /// Registers `username` at the user-service `users` and signs in.
    pub async fn register(http: &Client, users: &str, username: &str) -> Result<Self> {
        let password = format!("password-of-{username}-{:016x}", rand::random::<u64>());
        let body = json!({"username": username, "password": password, "display_name": username.to_uppercase()});
        let answer = http.post(format!("{users}/v1/register")).json(&body).send().await?;
        ensure!(answer.status() == 201, "register {username}: {} {}", answer.status(), answer.text().await?);
        Self::login(http, users, username, &password).await
    }

    /// Signs in.
    pub async fn login(http: &Client, users: &str, username: &str, password: &str) -> Result<Self> {
        let body = json!({"username": username, "password": password});
        let answer = http.post(format!("{users}/v1/login")).json(&body).send().await?;
        ensure!(answer.status() == 200, "login {username}: {} {}", answer.status(), answer.text().await?);
        let answer: Value = answer.json().await?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("login answered without a field");
        Ok(Self {
            username: username.to_owned(),
            password: password.to_owned(),
            id: text(&answer["user"]["id"])?,
            access_token: text(&answer["access_token"])?,
            refresh_token: text(&answer["refresh_token"])?,
        })
    }

    /// Trades the refresh token for new tokens.
    pub async fn refresh(&mut self, http: &Client, users: &str) -> Result<()> {
        let body = json!({"refresh_token": self.refresh_token});
        let answer = http.post(format!("{users}/v1/refresh")).json(&body).send().await?;
        ensure!(answer.status() == 200, "refresh: {} {}", answer.status(), answer.text().await?);
        let answer: Value = answer.json().await?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("refresh answered without a field");
        self.access_token = text(&answer["access_token"])?;
        self.refresh_token = text(&answer["refresh_token"])?;
        Ok(())
    }
}
