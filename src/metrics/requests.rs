//! Requests by route, method and status, and how long each route takes. Noting one takes no lock and,
//! once a route has been asked for, no memory.

use std::sync::OnceLock;
use std::time::Duration;

use super::{Counter, Distribution, Histogram, SECONDS};

/// More than a server has without rows of its owner's making. Each is remembered by its template when it is first asked for.
const MOST_ROUTES: usize = 64;

/// Routes past those that are remembered, and methods other than these.
const OTHER: &str = "other";

/// Anybody may invent methods; what is kept must not grow with them.
const METHODS: [&str; 8] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", OTHER];

/// The statuses that HTTP can carry.
const STATUSES: std::ops::Range<u16> = 100..1000;

/// All requests that were answered.
pub struct Requests {
    routes: [OnceLock<Route>; MOST_ROUTES],
    other: Route,
}

struct Route {
    template: Box<str>,
    durations: Histogram,
    /// By method, then by status.
    answers: [OnceLock<Box<[Counter]>>; METHODS.len()],
}

impl Default for Requests {
    fn default() -> Self {
        Self { routes: [const { OnceLock::new() }; MOST_ROUTES], other: Route::new(OTHER) }
    }
}

impl Requests {
    /// Notes an answer. `template` is one of the server's own: a path may hold a token.
    pub fn note(&self, template: &str, method: &str, status: u16, took: Duration) {
        // The first free place becomes the route's, unless another takes it at the same moment.
        let mut routes = self.routes.iter().map(|place| place.get_or_init(|| Route::new(template)));
        let route = routes.find(|route| *route.template == *template).unwrap_or(&self.other);
        route.durations.note_time(took);
        route.answers(method)[place_of(status)].increment();
    }

    /// Each route, method and status that there was, and how often.
    pub fn answers(&self) -> impl Iterator<Item = (&str, &'static str, u16, u64)> {
        self.routes().flat_map(|route| {
            METHODS.into_iter().zip(&route.answers).flat_map(move |(method, answers)| {
                let counts = answers.get().into_iter().flat_map(|counts| STATUSES.zip(counts.iter()));
                let seen =
                    counts.map(|(status, count)| (status, count.value())).filter(|(_, count)| *count > 0);
                seen.map(move |(status, count)| (&*route.template, method, status, count))
            })
        })
    }

    /// How long the requests of each route took.
    pub fn durations(&self) -> impl Iterator<Item = (&str, Distribution)> {
        let durations = self.routes().map(|route| (&*route.template, route.durations.read()));
        durations.filter(|(_, durations)| durations.count() > 0)
    }

    fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter_map(OnceLock::get).chain([&self.other])
    }
}

impl Route {
    fn new(template: &str) -> Self {
        Self {
            template: template.into(),
            durations: Histogram::new(SECONDS),
            answers: [const { OnceLock::new() }; METHODS.len()],
        }
    }

    fn answers(&self, method: &str) -> &[Counter] {
        let place = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        self.answers[place].get_or_init(|| STATUSES.map(|_| Counter::default()).collect())
    }
}

fn place_of(status: u16) -> usize {
    usize::from(status.clamp(STATUSES.start, STATUSES.end - 1) - STATUSES.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(1);

    fn all(requests: &Requests) -> Vec<(&str, &'static str, u16, u64)> {
        requests.answers().collect()
    }

    #[test]
    fn requests_are_counted_by_route_method_and_status() {
        let requests = Requests::default();
        for (route, method, status) in [
            ("/a", "GET", 200),
            ("/a", "GET", 200),
            ("/a", "POST", 200),
            ("/a", "GET", 503),
            ("/b", "GET", 999),
        ] {
            requests.note(route, method, status, TOOK);
        }
        assert_eq!(
            all(&requests),
            [("/a", "GET", 200, 2), ("/a", "GET", 503, 1), ("/a", "POST", 200, 1), ("/b", "GET", 999, 1)]
        );
        let durations: Vec<_> = requests.durations().map(|(route, times)| (route, times.count())).collect();
        assert_eq!(durations, [("/a", 4), ("/b", 1)]);
    }

    #[test]
    fn invented_methods_share_a_place() {
        let requests = Requests::default();
        for method in ["BREW", "other", "get"] {
            requests.note("/a", method, 405, TOOK);
        }
        assert_eq!(all(&requests), [("/a", "other", 405, 3)]);
    }

    #[test]
    fn routes_beyond_the_last_place_share_one() {
        let requests = Requests::default();
        (0..MOST_ROUTES + 2).for_each(|i| requests.note(&format!("/{i}"), "GET", 200, TOOK));
        let all = all(&requests);
        assert_eq!(all.len(), MOST_ROUTES + 1);
        assert_eq!(all.last(), Some(&("other", "GET", 200, 2)));
    }

    #[test]
    fn threads_that_ask_for_new_routes_at_once_lose_no_count() {
        let requests = Requests::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..800).for_each(|i| requests.note(["/a", "/b", "/c", "/d"][i % 4], "GET", 200, TOOK))
                });
            }
        });
        let mut all = all(&requests);
        all.sort_unstable();
        assert_eq!(all, ["/a", "/b", "/c", "/d"].map(|route| (route, "GET", 200, 800)));
    }
}
