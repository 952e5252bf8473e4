//! One place that is asked: its address, the limits of every request, and the one way a request is
//! sent.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use birthmark_daemon::random;
use birthmark_daemon::reasons::innermost;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, Proxy, Url, header};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::answer::{Answer, unreachable};
use crate::error::{CallError, SetupError};

/// What every request of a client keeps to.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who asks, for the other side's log: `birthmark-capture/0.1.0`.
    pub user_agent: &'static str,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a request with its whole answer may take.
    pub timeout: Duration,
    /// No answer is larger.
    pub largest_answer: usize,
    /// A certificate authority (PEM) that is trusted besides those of the system.
    pub certificate_authority: Option<PathBuf>,
    /// Whether the environment may name a proxy. Daemons ask directly; a person's command may have
    /// to.
    pub proxy: bool,
    /// A SOCKS proxy, such as Tor's, that every connection goes through: `socks5h://host:port`.
    pub socks: Option<Url>,
    /// Whether every request has a connection of its own, on which nothing of an earlier one is
    /// resumed: whoever listens at the other end cannot tie two requests together by it. A SOCKS
    /// proxy is given another user name each time, for which Tor builds another circuit.
    pub apart: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user_agent: concat!("birthmark/", env!("CARGO_PKG_VERSION")),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(20),
            largest_answer: 4 << 20,
            certificate_authority: None,
            proxy: false,
            socks: None,
            apart: false,
        }
    }
}

/// Sends requests to one address.
#[derive(Clone)]
pub struct HttpClient {
    client: Client,
    base: Url,
    largest_answer: usize,
    token: Option<Zeroizing<String>>,
    /// From which a client is made for each request, where requests are to be kept apart.
    apart: Option<Box<Options>>,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the token.
        write!(out, "HttpClient({})", self.base)
    }
}

impl HttpClient {
    /// A client of the server at `address`.
    pub fn new(address: &str, options: &Options) -> Result<Self, SetupError> {
        Self::build(base_of(address)?, options, |client| client)
    }

    /// A client of the process that listens on this socket of the same machine.
    pub fn on_socket(socket: &Path, options: &Options) -> Result<Self, SetupError> {
        let base = base_of("http://localhost")?;
        Self::build(base, options, |client| client.unix_socket(socket))
    }

    fn build(
        base: Url,
        options: &Options,
        more: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, SetupError> {
        let client = more(builder(options)?).build();
        Ok(Self {
            client: client.map_err(|error| SetupError::Client(innermost(&error)))?,
            base,
            largest_answer: options.largest_answer,
            token: None,
            apart: options.apart.then(|| Box::new(options.clone())),
        })
    }

    /// The client for the next request: connections and the sessions of TLS are a client's own.
    async fn client(&self) -> Result<Client, CallError> {
        let Some(options) = self.apart.clone() else {
            return Ok(self.client.clone());
        };
        // It reads the system's certificates.
        let made = tokio::task::spawn_blocking(move || {
            let built = builder(&options)?.build();
            built.map_err(|error| SetupError::Client(innermost(&error)))
        });
        let made = made
            .await
            .map_err(|error| CallError::Unreachable(error.to_string()))?;
        made.map_err(|error| CallError::Unreachable(error.to_string()))
    }

    /// The same client with a bearer token in every request to its own address.
    pub fn with_token(self, token: Option<Zeroizing<String>>) -> Self {
        Self { token, ..self }
    }

    /// The address, with a slash at its end.
    pub const fn address(&self) -> &Url {
        &self.base
    }

    /// Whether nobody on the way can read along: TLS, or this machine itself.
    pub fn is_confidential(&self) -> bool {
        let Some(host) = self.base.host_str() else {
            return false;
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_here = |address: IpAddr| address.is_loopback();
        self.base.scheme() == "https" || host == "localhost" || host.parse().is_ok_and(is_here)
    }

    /// Asks for something below the address.
    pub async fn get(&self, path: &str) -> Result<Answer, CallError> {
        self.send::<()>(Method::GET, path, None).await
    }

    /// Sends JSON to something below the address.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, CallError> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Sends a text to something below the address.
    pub async fn post_text(&self, path: &str, text: String) -> Result<Answer, CallError> {
        let request = self.client().await?.post(self.url(path)?);
        let request = request.header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        self.finish(request.body(text)).await
    }

    /// Sends any request.
    pub async fn send<B: Serialize + ?Sized>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<Answer, CallError> {
        let mut request = self.client().await?.request(method, self.url(path)?);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.as_str());
        }
        if let Some(body) = body {
            let body = serde_json::to_vec(body).map_err(CallError::nonsense)?;
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body);
        }
        self.finish(request).await
    }

    /// Fetches a file at an address of its own, such as a list of revoked certificates. The token
    /// stays at home.
    pub async fn fetch(&self, address: &str) -> Result<Answer, CallError> {
        self.finish(self.client().await?.get(address)).await
    }

    async fn finish(&self, request: reqwest::RequestBuilder) -> Result<Answer, CallError> {
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        Answer::read(response, self.largest_answer).await
    }

    /// A path below the address: what the address itself has as a path stays in front.
    fn url(&self, path: &str) -> Result<Url, CallError> {
        let path = path.trim_start_matches('/');
        let url = self.base.join(path).map_err(CallError::nonsense)?;
        // Whoever chose part of the path must not leave it.
        match url.as_str().starts_with(self.base.as_str()) {
            true => Ok(url),
            false => Err(CallError::Nonsense(format!("{path:?} leads elsewhere"))),
        }
    }
}

fn builder(options: &Options) -> Result<ClientBuilder, SetupError> {
    let mut client = Client::builder()
        .user_agent(options.user_agent)
        .connect_timeout(options.connect_timeout)
        .timeout(options.timeout)
        .pool_idle_timeout(Duration::from_secs(60))
        .tcp_nodelay(true)
        .redirect(Policy::none());
    if options.apart {
        client = client.pool_max_idle_per_host(0);
    }
    if !options.proxy {
        client = client.no_proxy();
    }
    if let Some(socks) = &options.socks {
        client = client.proxy(proxy(socks, options.apart)?);
    }
    if let Some(path) = &options.certificate_authority {
        client = client.tls_certs_merge([certificate(path)?]);
    }
    Ok(client)
}

fn proxy(address: &Url, apart: bool) -> Result<Proxy, SetupError> {
    let wrong = |reason: String| SetupError::Address {
        address: address.to_string(),
        reason,
    };
    // With `socks5` names would be looked up here, where others can see for whom.
    if address.scheme() != "socks5h" || address.host().is_none() {
        return Err(wrong(
            "a SOCKS proxy is named as socks5h://host:port".into(),
        ));
    }
    let mut address = address.clone();
    if apart {
        let name = random::bytes::<16>().map_err(|error| wrong(error.to_string()))?;
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let set = address
            .set_username(&name)
            .and_then(|()| address.set_password(Some("apart")));
        set.map_err(|()| wrong("it takes no user name".into()))?;
    }
    Proxy::all(address.as_str()).map_err(|error| wrong(innermost(&error)))
}

fn base_of(address: &str) -> Result<Url, SetupError> {
    let wrong = |reason: String| SetupError::Address {
        address: address.to_owned(),
        reason,
    };
    let mut base: Url = address
        .trim()
        .parse()
        .map_err(|error| wrong(format!("{error}")))?;
    if !matches!(base.scheme(), "http" | "https") {
        return Err(wrong("it does not begin with http:// or https://".into()));
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err(wrong("it has a part behind ? or #".into()));
    }
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    Ok(base)
}

fn certificate(path: &Path) -> Result<reqwest::Certificate, SetupError> {
    let unusable = |reason: String| SetupError::Certificate {
        path: path.to_owned(),
        reason,
    };
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    reqwest::Certificate::from_pem(&pem).map_err(|error| unusable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> HttpClient {
        HttpClient::new(address, &Options::default()).unwrap()
    }

    #[test]
    fn an_addresss_own_path_stays_in_front() {
        for address in [
            "https://example.org/registry",
            "https://example.org/registry/",
        ] {
            let url = client(address).url("/api/v1/status").unwrap();
            assert_eq!(url.as_str(), "https://example.org/registry/api/v1/status");
        }
        let url = client("http://example.org:8001")
            .url("api/v1/status")
            .unwrap();
        assert_eq!(url.as_str(), "http://example.org:8001/api/v1/status");
    }

    #[test]
    fn a_path_cannot_leave_the_address() {
        let client = client("https://example.org/registry");
        for path in [
            "../elsewhere",
            "a/../../b",
            "https://evil.example/",
            "//evil.example/x/..",
        ] {
            let url = client.url(path);
            assert!(
                url.as_ref().is_err()
                    || url
                        .unwrap()
                        .as_str()
                        .starts_with("https://example.org/registry/"),
                "{path}"
            );
        }
        assert!(client.url("../elsewhere").is_err());
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (address, reason) in [
            ("example.org", "relative URL"),
            ("ftp://example.org", "http:// or https://"),
            ("https://example.org/?a=1", "behind ? or #"),
        ] {
            let error = HttpClient::new(address, &Options::default()).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn only_tls_and_this_machine_are_confidential() {
        assert!(client("https://example.org").is_confidential());
        assert!(client("http://127.0.0.1:8001").is_confidential());
        assert!(client("http://[::1]:8001").is_confidential());
        assert!(client("http://localhost:8001").is_confidential());
        assert!(!client("http://localhost.example").is_confidential());
        assert!(!client("http://example.org").is_confidential());
        assert!(!client("http://127.0.0.1.example.org").is_confidential());
    }

    #[test]
    fn a_token_is_never_printed() {
        let client = client("https://example.org").with_token(Some("secret".to_owned().into()));
        assert!(!format!("{client:?}").contains("secret"));
    }
}
