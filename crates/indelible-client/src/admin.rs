//! Who may do what: tokens, grants, acts that wait.

use crate::{
    client::{Client, segment},
    error::Result,
};
use indelible_api::{
    AddGrant, ChangeLog, CreateToken, CreatedToken, Done, GrantInfo, Page, PendingAct, Policy,
    RotateKey, Status, TokenInfo, Verdict, WhoAmI,
};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};

impl Client {
    async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        self.json(self.request(method, path).json(body)).await
    }

    async fn items<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let page: Page<T> = self.json(self.request(Method::GET, path)).await?;
        Ok(page.items)
    }

    /// Who the server takes the client for.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn whoami(&self) -> Result<WhoAmI> {
        self.json(self.request(Method::GET, "/v1/whoami")).await
    }

    /// How the server stands, as far as the client may know.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn status(&self) -> Result<Status> {
        self.json(self.request(Method::GET, "/v1/status")).await
    }

    /// Issues a token; the only time its secret is seen.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn create_token(&self, wanted: &CreateToken) -> Result<CreatedToken> {
        self.send_json(Method::POST, "/v1/tokens", wanted).await
    }

    /// All tokens, without their secrets.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>> {
        self.items("/v1/tokens").await
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn revoke_token(&self, id: &str) -> Result<Done> {
        self.json(self.request(Method::DELETE, &format!("/v1/tokens/{}", segment(id)))).await
    }

    /// Grants a role.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn add_grant(&self, wanted: &AddGrant) -> Result<Done> {
        self.send_json(Method::POST, "/v1/grants", wanted).await
    }

    /// All grants in force.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn grants(&self) -> Result<Vec<GrantInfo>> {
        self.items("/v1/grants").await
    }

    /// Removes a grant.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn remove_grant(&self, id: &str) -> Result<Done> {
        self.json(self.request(Method::DELETE, &format!("/v1/grants/{}", segment(id)))).await
    }

    /// Acts that wait for a second person.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn pending(&self) -> Result<Vec<PendingAct>> {
        self.items("/v1/pending").await
    }

    /// Approves an act that waits, or rejects it.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn settle(&self, id: &str, approve: bool, reason: Option<String>) -> Result<Done> {
        let verb = if approve { "approve" } else { "reject" };
        let path = format!("/v1/pending/{}/{verb}", segment(id));
        self.send_json(Method::POST, &path, &Verdict { reason }).await
    }

    /// Which acts need two persons.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn policy(&self) -> Result<Policy> {
        self.json(self.request(Method::GET, "/v1/policy")).await
    }

    /// Changes which acts need two persons.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn change_policy(&self, policy: &Policy) -> Result<Done> {
        self.send_json(Method::PUT, "/v1/policy", policy).await
    }

    /// Changes what a log shows to everybody.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn change_log(&self, name: &str, change: &ChangeLog) -> Result<Done> {
        self.send_json(Method::PATCH, &format!("/v1/logs/{}", segment(name)), change).await
    }

    /// Replaces the signing key of a log; the new vkey is the answer's id.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn rotate_key(&self, name: &str, wanted: &RotateKey) -> Result<Done> {
        self.send_json(Method::POST, &format!("/v1/logs/{}/keys", segment(name)), wanted).await
    }
}
