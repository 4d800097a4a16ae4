//! The HTTP of AWS's library: our own client, so that there is one HTTP client, one TLS and one list of trusted
//! certificates.

use std::net::IpAddr;

use aws_config::provider_config::ProviderConfig;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::timeout::TimeoutConfig;

use std::time::Duration;

use crate::error::{Error, Result};

/// A host of AWS answers a request for credentials within this time, or not at all.
const LONGEST: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(5);

/// How requests for credentials are sent: by our client, and with limits.
pub(super) fn config() -> Result<ProviderConfig> {
    Ok(ProviderConfig::without_region().with_http_client(client()?).with_timeout_config(timeouts()))
}

pub(super) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(LONGEST).build()
}

pub(super) fn client() -> Result<SharedHttpClient> {
    let failed = |e: &dyn std::error::Error| Error::usage(format!("no HTTP client could be made: {e}"));
    let made = |proxy: bool| {
        let tls = crate::tls::config(&["http/1.1"]).map_err(|e| failed(&e))?;
        let builder = reqwest::Client::builder().tls_backend_preconfigured(tls);
        let builder = if proxy { builder } else { builder.no_proxy() };
        let builder = builder.redirect(reqwest::redirect::Policy::none()).connect_timeout(CONNECT);
        builder.build().map_err(|e| failed(&e))
    };
    Ok(SharedHttpClient::new(Http { direct: made(false)?, outside: made(true)? }))
}

#[derive(Clone, Debug)]
struct Http {
    /// For the addresses of this machine and of its metadata service, which no proxy reaches.
    direct: reqwest::Client,
    outside: reqwest::Client,
}

impl HttpClient for Http {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        // The library's own limit of a whole request is around this one.
        let longest = settings.read_timeout().map(|read| read + settings.connect_timeout().unwrap_or_default());
        SharedHttpConnector::new(Connector { http: self.clone(), longest: longest.unwrap_or(LONGEST) })
    }
}

#[derive(Debug)]
struct Connector {
    http: Http,
    longest: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (http, longest) = (self.http.clone(), self.longest);
        HttpConnectorFuture::new(async move { send(&http, longest, &request).await })
    }
}

async fn send(
    http: &Http,
    longest: Duration,
    request: &HttpRequest,
) -> std::result::Result<HttpResponse, ConnectorError> {
    let user = |e: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(e);
    let url = url::Url::parse(request.uri()).map_err(|e| user(e.into()))?;
    let method = request.method().parse::<reqwest::Method>().map_err(|e| user(e.into()))?;
    let client = if is_near(&url) { &http.direct } else { &http.outside };
    let mut asked = client.request(method, url).timeout(longest);
    for (name, value) in request.headers() {
        asked = asked.header(name, value);
    }
    let body = request.body().bytes().ok_or_else(|| user("a body that is a stream".into()))?;
    let answer = asked.body(body.to_vec()).send().await.map_err(failed)?;
    let status = StatusCode::try_from(answer.status().as_u16()).map_err(|e| ConnectorError::other(e.into(), None))?;
    let headers = answer.headers().clone();
    let mut response = HttpResponse::new(status, SdkBody::from(answer.bytes().await.map_err(failed)?));
    for (name, value) in &headers {
        if let Ok(value) = value.to_str() {
            // A header that the library does not take is none that it needs.
            let _ = response.headers_mut().try_append(name.as_str().to_string(), value.to_string());
        }
    }
    Ok(response)
}

fn failed(e: reqwest::Error) -> ConnectorError {
    match e.is_timeout() {
        true => ConnectorError::timeout(e.into()),
        false => ConnectorError::io(e.into()),
    }
}

fn is_near(url: &url::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        Err(_) => host == "localhost",
    }
}
