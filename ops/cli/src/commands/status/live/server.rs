//! Serves the page, what changes on it, and the clips it plays.
//!
//! Bounded: so many readers at once, of whom each is sent the newest state there is and none that it missed; those
//! beyond are sent away. A reader that goes away ends its connection, and with it all that was kept for it.

use std::{collections::BTreeMap, convert::Infallible, net::IpAddr, ops::Range, sync::Arc, time::Duration};

use counterpoint_messages::ContentHash;
use counterpoint_pages::live::render;
use futures::{Stream, stream};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, HOST, RANGE, X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
    uri::Authority,
};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::watching::Shown;

/// Connections at once; a browser opens up to six for a page.
const CONNECTIONS: usize = 96;
/// Longest that a reader may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to leave the system alone that gives no connection (no file descriptors, say).
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// How often a reader is sent something, so that one who is gone without a word is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

type Body = UnsyncBoxBody<Bytes, Infallible>;
type News = watch::Receiver<Arc<Shown>>;

/// Serves whoever comes to the listener, which was bound to this address.
pub(super) async fn serve(listener: TcpListener, shown: News, bound: IpAddr) -> Infallible {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let Ok(connection) = Arc::clone(&connections).try_acquire_owned() else { continue };
        let shown = shown.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                // Nobody has a body to send.
                answer(request.into_parts().0, shown.clone(), bound)
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
            // A reader that breaks off has nothing to be told.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
            drop(connection);
        });
    }
}

async fn answer(request: Parts, shown: News, bound: IpAddr) -> Result<Response<Body>, http::Error> {
    if bound.is_loopback() && !is_for_this_machine(&request.headers) {
        return plain(StatusCode::FORBIDDEN, "this page is served to this machine alone");
    }
    if request.method != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "this page can only be read: use GET");
    }
    let now = Arc::clone(&shown.borrow());
    match request.uri.path() {
        "/" => match render(&now.live) {
            Ok(page) => whole("text/html; charset=utf-8", page.into()),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        "/events" => {
            let body = StreamBody::new(events(shown)).boxed_unsync();
            Ok(response(StatusCode::OK, "text/event-stream").body(body)?)
        }
        path => match path.strip_prefix("/clips/") {
            Some(object) => clip(object, &now, &request.headers).await,
            None => plain(StatusCode::NOT_FOUND, "nothing is here: the page is at /"),
        },
    }
}

/// Whether the address that a browser was given is one of this machine. Any other name that leads here is a stranger's,
/// whose own page could otherwise read this one.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    })
}

/// What is new on the page, as server-sent events: each an object from names of parts to their HTML, the first of all
/// parts.
fn events(shown: News) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    stream::unfold((shown, None::<Arc<Shown>>), |(mut shown, before)| async move {
        if before.is_some() {
            match timeout(HEARTBEAT, shown.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((frame(":\n\n".to_owned()), (shown, before))),
            }
        }
        let now = Arc::clone(&shown.borrow_and_update());
        let event = event(before.as_deref(), &now);
        Some((frame(event), (shown, Some(now))))
    })
}

fn frame(event: String) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(event.into()))
}

fn event(before: Option<&Shown>, now: &Shown) -> String {
    let known = before.map(|before| before.parts.as_slice()).unwrap_or_default();
    let news: BTreeMap<_, _> =
        now.parts.iter().filter(|part| !known.contains(part)).map(|part| (part.name, &part.html)).collect();
    match serde_json::to_string(&news) {
        Ok(json) if !news.is_empty() => format!("data: {json}\n\n"),
        _ => ":\n\n".to_owned(),
    }
}

/// A clip that is on the page, or was a moment ago.
async fn clip(object: &str, now: &Shown, headers: &HeaderMap) -> Result<Response<Body>, http::Error> {
    let is_shown = now.live.clips.iter().any(|clip| clip.object.as_deref() == Some(object));
    let (Some(store), Ok(hash), true) = (now.store.clone(), object.parse::<ContentHash>(), is_shown) else {
        return plain(StatusCode::NOT_FOUND, "no such clip is on the page");
    };
    let bytes: Bytes = match spawn_blocking(move || store.get(hash)).await {
        Ok(Ok(bytes)) => bytes.into(),
        Ok(Err(error)) => return plain(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error) => return plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let asked = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let mut answer = match asked.and_then(|asked| range(asked, bytes.len())) {
        Some(range) => {
            let place = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
            let mut answer = whole("video/mp4", bytes.slice(range))?;
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            answer.headers_mut().insert(CONTENT_RANGE, HeaderValue::try_from(place)?);
            answer
        }
        None => whole("video/mp4", bytes)?,
    };
    // Its name is the hash of its bytes.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600, immutable"));
    answer.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(answer)
}

/// The bytes of so many that a reader asks for; `None` where it asks for none that are there, or for several ranges,
/// and gets all of them (RFC 9110, section 14.2).
fn range(asked: &str, length: usize) -> Option<Range<usize>> {
    let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.trim(), last.trim()) {
        ("", last) => length.saturating_sub(last.parse().ok()?)..length,
        (first, "") => first.parse().ok()?..length,
        (first, last) => first.parse().ok()?..last.parse::<usize>().ok()?.saturating_add(1).min(length),
    };
    (range.start < range.end).then_some(range)
}

fn plain(status: StatusCode, words: &str) -> Result<Response<Body>, http::Error> {
    response(status, "text/plain; charset=utf-8").body(Full::from(format!("{words}\n")).boxed_unsync())
}

fn whole(kind: &'static str, bytes: Bytes) -> Result<Response<Body>, http::Error> {
    response(StatusCode::OK, kind).body(Full::new(bytes).boxed_unsync())
}

fn response(status: StatusCode, kind: &'static str) -> http::response::Builder {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, kind)
        .header(CACHE_CONTROL, "no-store")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
}

#[cfg(test)]
mod tests {
    use counterpoint_pages::live::Part;

    use super::*;

    #[test]
    fn a_reader_may_ask_for_a_part_of_a_clip() {
        assert_eq!(range("bytes=0-", 10), Some(0..10));
        assert_eq!(range("bytes=2-4", 10), Some(2..5));
        assert_eq!(range("bytes=2-400", 10), Some(2..10));
        assert_eq!(range("bytes=-3", 10), Some(7..10));
        assert_eq!(range("bytes=-30", 10), Some(0..10));
        for all in ["bytes=10-", "bytes=5-2", "bytes=0-1,4-5", "bytes=-0", "bytes=x-", "lines=0-1", "bytes"] {
            assert_eq!(range(all, 10), None, "{all}");
        }
        assert_eq!(range("bytes=0-18446744073709551615", 10), Some(0..10));
        assert_eq!(range("bytes=0-", 0), None);
    }

    #[test]
    fn a_name_of_a_stranger_that_leads_to_this_machine_is_not_served() {
        let is_served = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            is_for_this_machine(&headers)
        };
        for ours in ["127.0.0.1:8080", "localhost:8080", "localhost", "[::1]:9000", "127.1.2.3"] {
            assert!(is_served(ours), "{ours}");
        }
        for strange in ["example.org", "example.org:8080", "localhost.example.org", "10.0.0.7", ""] {
            assert!(!is_served(strange), "{strange}");
        }
        assert!(!is_for_this_machine(&HeaderMap::new()));
    }

    #[test]
    fn an_event_holds_what_has_changed_and_the_first_holds_everything() {
        let shown = |stages: &str, clips: &str| {
            let part = |(name, html): (&'static str, &str)| Part { name, html: html.to_owned() };
            Shown { parts: [("stages", stages), ("clips", clips)].map(part).into(), ..Shown::default() }
        };
        let (first, second) = (shown("a\nb", "c"), shown("a\nb", "d"));
        assert_eq!(event(None, &first), "data: {\"clips\":\"c\",\"stages\":\"a\\nb\"}\n\n");
        assert_eq!(event(Some(&first), &second), "data: {\"clips\":\"d\"}\n\n");
        assert_eq!(event(Some(&second), &second), ":\n\n");
    }
}
