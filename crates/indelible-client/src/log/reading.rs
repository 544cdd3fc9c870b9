//! What is read of a log: events, searches, exports, views.

use super::{LogClient, named};
use crate::{
    answer,
    client::{order, segment},
    error::Result,
    stream::Blocks,
};
use indelible_api::{
    Count, CountRequest, Done, EventView, Export, ExportRequest, Facets, FacetsRequest,
    HistogramBuckets, HistogramRequest, Page, ReadConsistency, RecordName, SaveView, SearchPage,
    View,
};
use reqwest::Method;

impl LogClient {
    /// The event view of a record, as the server shows it.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn event(&self, record: &RecordName) -> Result<EventView> {
        self.client.json(self.get(&named("events", record))).await
    }

    /// A page of events after `after`, oldest first; waits up to `wait_s` seconds for one.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn events(
        &self,
        after: Option<u64>,
        limit: usize,
        newest_first: bool,
        wait_s: u64,
    ) -> Result<Page<EventView>> {
        let request = self.get("events").query(&(
            ("limit", limit),
            ("order", order(!newest_first)),
            ("wait", wait_s),
            ("after", after),
        ));
        self.client.json(request).await
    }

    /// A page of what a query finds; its `searched` says whether it is whole.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn search(
        &self,
        q: &str,
        oldest_first: bool,
        limit: usize,
        after: Option<&str>,
        consistency: ReadConsistency,
    ) -> Result<SearchPage> {
        let request = self.get("events").query(&(
            ("q", q),
            ("order", order(oldest_first)),
            ("limit", limit),
            ("after", after),
            ("consistency", consistency),
        ));
        self.client.json(request).await
    }

    /// The records around one, oldest first, itself included: `n` before and after it by
    /// `position`, or of the same `actor`, `session`, `request` or `trace`. Where an answer
    /// has no room for all, `next` is the index to go on after.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn context(
        &self,
        record: &RecordName,
        by: &str,
        n: usize,
        after: Option<&str>,
    ) -> Result<SearchPage> {
        let request = self.get(&format!("{}/context", named("events", record)));
        self.client.json(request.query(&(("by", by), ("n", n), ("after", after)))).await
    }

    /// How many records a query finds.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn count(&self, wanted: &CountRequest) -> Result<Count> {
        self.post("count", wanted).await
    }

    /// Asks for an export.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn start_export(&self, wanted: &ExportRequest) -> Result<Export> {
        self.post("exports", wanted).await
    }

    /// How far an export is.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn export(&self, id: &str) -> Result<Export> {
        self.client.json(self.get(&format!("exports/{}", segment(id)))).await
    }

    /// Downloads the file of an export that is done, from the byte `from` on; `visit`
    /// gets the bytes as they come.
    ///
    /// # Errors
    /// [`crate::ClientError`]; what came before it is good, and the rest can be asked for again.
    pub async fn download_export(
        &self,
        id: &str,
        from: u64,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<()> {
        let request = self.get(&format!("exports/{}/file", segment(id)));
        let request = request.header("range", format!("bytes={from}-"));
        self.client
            .stream(request, |part| {
                visit(part);
                Ok(())
            })
            .await
    }

    /// Deletes an export.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn delete_export(&self, id: &str) -> Result<()> {
        let path = format!("/v1/logs/{}/exports/{}", segment(&self.name), segment(id));
        let request = self.client.request(Method::DELETE, &path);
        self.client.bytes(answer::JSON, request).await.map(drop)
    }

    /// The saved views of the log.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn views(&self) -> Result<Vec<View>> {
        let page: Page<View> = self.client.json(self.get("views")).await?;
        Ok(page.items)
    }

    /// Saves a query under a name.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn save_view(&self, name: &str, view: &SaveView) -> Result<Done> {
        let path = format!("/v1/logs/{}/views/{}", segment(&self.name), segment(name));
        self.client.json(self.client.request(Method::PUT, &path).json(view)).await
    }

    /// Deletes a view.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn delete_view(&self, name: &str) -> Result<Done> {
        let path = format!("/v1/logs/{}/views/{}", segment(&self.name), segment(name));
        self.client.json(self.client.request(Method::DELETE, &path)).await
    }

    /// The most frequent values of fields.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn facets(&self, wanted: &FacetsRequest) -> Result<Facets> {
        self.post("facets", wanted).await
    }

    /// What a query finds, by time.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn histogram(&self, wanted: &HistogramRequest) -> Result<HistogramBuckets> {
        self.post("histogram", wanted).await
    }

    async fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T> {
        let path = format!("/v1/logs/{}/{path}", segment(&self.name));
        self.client.json(self.client.request(Method::POST, &path).json(body)).await
    }

    /// Follows what a query finds after `after`, until the server ends the stream.
    /// Returns the index to go on from.
    ///
    /// # Errors
    /// [`crate::ClientError`].
    pub async fn follow(
        &self,
        q: &str,
        after: Option<u64>,
        mut visit: impl FnMut(EventView),
    ) -> Result<Option<u64>> {
        let request = self.get("tail").query(&(("q", q), ("after", after)));
        let (mut last, mut blocks) = (after, Blocks::default());
        self.client
            .stream(request, |part| {
                blocks.take(part, |view| {
                    last = Some(view.index);
                    visit(view);
                })
            })
            .await?;
        Ok(last)
    }
}
