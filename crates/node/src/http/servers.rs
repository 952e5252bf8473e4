//! Separate submission servers: they register hashes on their own word, under a bearer token.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use birthmark_http::{ApiError, body};
use birthmark_ledger::{Label, Origin, Record, RecordError, Source};
use birthmark_protocol::submission::{MAX_SUBMISSION, RegisteredHash};
use birthmark_protocol::{Bundle, Digest, ImageClaim};
use subtle::ConstantTimeEq as _;

use super::submit::refused_request;
use super::{App, Shared};
use crate::admission::{self, Asked, Claimed, Hidden, NOBODY, Refused};
use crate::clock;

impl App {
    /// The registered server whose token stands in the request.
    fn server_of(&self, request: &Request) -> Option<&str> {
        let header = request
            .headers()
            .get(header::AUTHORIZATION)?
            .to_str()
            .ok()?;
        let token = header
            .strip_prefix("Bearer ")
            .or_else(|| header.strip_prefix("bearer "))?;
        let digest = Digest::of(token.trim().as_bytes());
        // Every entry is compared, and each in equal time: the answer's delay tells nothing about
        // the tokens.
        let mut found = None;
        for server in &self.settings.submission_servers {
            if bool::from(server.token_sha256.as_bytes().ct_eq(digest.as_bytes())) {
                found = Some(server.id.as_str());
            }
        }
        found
    }
}

/// One hash from a registered server.
#[utoipa::path(post, path = "/api/v1/blockchain/submit", tag = "Submission", responses((status = 202, body = birthmark_protocol::api::Accepted), (status = 400), (status = 401, description = "no registered server's token"), (status = 422), (status = 503)))]
pub async fn submit(State(app): Shared, request: Request) -> Result<Response, ApiError> {
    let server = app.server_of(&request).map(str::to_owned);
    let unauthorized = || {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "this address needs the bearer token of a registered submission server",
        )
    };
    let server = server.ok_or_else(unauthorized)?;
    app.check_standing()?;
    app.admission.check_room()?;
    let hash = match RegisteredHash::parse(&body::read(request, MAX_SUBMISSION).await?) {
        Ok(hash) => hash,
        Err(error) => return Ok(refused_request(&error)),
    };
    if hash.server_id != server {
        return Err(ApiError::bad_request(
            "submission_server_id is not the name this token belongs to",
        ));
    }
    let request = app.server_request(&server, &hash).await?;
    app.answer(
        app.admission
            .keep(NOBODY.to_owned(), request, clock::now())
            .await,
    )
}

impl App {
    async fn server_request(
        &self,
        server: &str,
        hash: &RegisteredHash,
    ) -> Result<admission::Request, ApiError> {
        admission::check_time(hash.time, clock::now())?;
        let image = ImageClaim {
            parent: None,
            ..hash.image
        };
        let bundle = Bundle::new(vec![image], hash.time, hash.gps)
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let original = hash.image.parent;
        self.check_original(&bundle, original).await?;
        let name = Label::new(server).map_err(ApiError::internal)?;
        let origin = Origin {
            source: Source::Server,
            authority: name,
            family: Label::new("").map_err(ApiError::internal)?,
            made_up_fingerprint: false,
        };
        let checked = Record::with_original(bundle.clone(), original, origin);
        checked.map_err(|error: RecordError| ApiError::bad_request(error.to_string()))?;
        let credential = Digest::tagged("birthmark/server/v1", &[server.as_bytes()]);
        let asked = Asked::Server {
            name: server.to_owned(),
            original,
        };
        Ok(admission::Request::new(
            self.admission.key(),
            Claimed::unanchored(bundle).map_err(ApiError::internal)?,
            Hidden::ByUs(admission::draw_opening()?),
            None,
            &credential,
            None,
            asked,
        ))
    }

    /// An original is registered before its edit, and no edit is closer to the sensor.
    pub(super) async fn check_original(
        &self,
        bundle: &Bundle,
        original: Option<Digest>,
    ) -> Result<(), ApiError> {
        let Some(original) = original else {
            return Ok(());
        };
        let lowest = self
            .registry
            .lowest_level(&original)
            .await?
            .ok_or(Refused::NoParent)?;
        let own = bundle.images().first().map(|image| image.level);
        if own < Some(lowest) {
            Err(Refused::Level.into())
        } else {
            Ok(())
        }
    }
}
