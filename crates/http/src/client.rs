//! Which client a request comes from, also behind a proxy.
//!
//! Whoever can choose a forwarded address can at most escape or exhaust somebody's rate limit:
//! nothing else rests on it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::log_throttle::LogThrottle;
use crate::peer::Peer;

/// A range of addresses, written `address` or `address/bits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: u128,
    bits: u8,
}

/// The proxies whose word about the client's address is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrustedProxies(Vec<Network>);

/// The client of one request: its address, with IPv6 cut to the /64 that one customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddress(u128);

const FORWARDED_FOR: &str = "x-forwarded-for";
static UNNAMED_PROXY: LogThrottle = LogThrottle::new();
static UNBELIEVED: LogThrottle = LogThrottle::new();
static UNREADABLE: LogThrottle = LogThrottle::new();
/// A trusted network with more public addresses than this is hardly all proxies of one operator.
const MOST_PUBLIC: u32 = 65_536;
/// Networks that no client on the internet has an address in.
const PRIVATE: [(u128, u8); 7] = [
    private_v4([10, 0, 0, 0], 8),
    private_v4([172, 16, 0, 0], 12),
    private_v4([192, 168, 0, 0], 16),
    private_v4([127, 0, 0, 0], 8),
    private_v4([100, 64, 0, 0], 10),
    (0xFC00 << 112, 7),
    (1, 128),
];

const fn private_v4([a, b, c, d]: [u8; 4], bits: u8) -> (u128, u8) {
    let mapped = std::net::Ipv4Addr::new(a, b, c, d).to_ipv6_mapped();
    (mapped.to_bits(), bits + 96)
}

/// One hop of `X-Forwarded-For`; some proxies write the port, too.
fn address_of(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let socket = || hop.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    bare.unwrap_or(hop).parse().ok().or_else(socket)
}

/// What a /48 may take, in shares of one client: enough for a campus, and no more for whoever holds
/// it alone.
pub(crate) const SHARES_OF_A_NETWORK: usize = 4;

/// Who holds something: a client, or the IPv6 /48 it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    Client(u128),
    Network(u128),
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

impl Network {
    fn only(address: IpAddr) -> Self {
        Self {
            base: as_v6(address).to_bits(),
            bits: 128,
        }
    }

    const fn mask(bits: u8) -> u128 {
        if bits == 0 {
            0
        } else {
            u128::MAX << (128 - bits)
        }
    }

    /// Whether `address` lies inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        as_v6(address).to_bits() & Self::mask(self.bits) == self.base
    }

    /// Whether all of it lies in networks that are no part of the internet.
    fn is_private(&self) -> bool {
        PRIVATE
            .iter()
            .any(|(base, bits)| self.bits >= *bits && self.base & Self::mask(*bits) == *base)
    }

    /// How many clients have an address in it, if it is more than anybody's proxies: IPv6 is
    /// counted in networks of /64.
    fn crowd(&self) -> Option<u64> {
        let is_v4 = self.bits >= 96 && Ipv6Addr::from_bits(self.base).to_ipv4_mapped().is_some();
        let free = if is_v4 { 128 } else { 64_u8 }.checked_sub(self.bits)?;
        // More than a number can hold is a crowd as well.
        let clients = 1_u64 << free.min(63);
        (clients > MOST_PUBLIC.into() && !self.is_private()).then_some(clients)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither an address nor address/bits");
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (whole, shift) = if address.is_ipv4() {
            (32, 96)
        } else {
            (128, 0)
        };
        let bits = bits
            .map_or(Ok(whole), str::parse::<u8>)
            .map_err(|_| wrong())?;
        if bits > whole {
            return Err(wrong());
        }
        if bits == 0 {
            return Err(format!(
                "{text:?} is every address: any client could choose the address that it is counted under"
            ));
        }
        let bits = bits + shift;
        Ok(Self {
            base: as_v6(address).to_bits() & Self::mask(bits),
            bits,
        })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let base = Ipv6Addr::from_bits(self.base);
        match base.to_ipv4_mapped() {
            Some(v4) if self.bits >= 96 => write!(f, "{v4}/{}", self.bits - 96),
            _ => write!(f, "{base}/{}", self.bits),
        }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl TrustedProxies {
    /// Whether no proxy is trusted.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is a trusted proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// What is doubtful about them, to be said at the start: whoever has an address that is trusted
    /// chooses the address that he is counted under.
    pub fn doubts(&self) -> Vec<String> {
        let doubt = |network: &Network| {
            let clients = network.crowd()?;
            Some(format!(
                "{network} is {clients} addresses of the internet, and each of them is believed when it says who asks: \
                 name the proxies alone"
            ))
        };
        self.0.iter().filter_map(doubt).collect()
    }

    /// Says that a header is not believed, to whom it may concern: the operator who forgot to name
    /// a proxy, and who wonders why all its clients share one rate limit.
    fn say_unbelieved(peer: IpAddr) {
        if Network::is_private(&Network::only(peer)) {
            UNNAMED_PROXY.warn(
                "requests from this machine or its network carry X-Forwarded-For, but their sender is no trusted \
                 proxy: all clients behind it share one rate limit; name it in `trusted_proxies`",
            );
        } else {
            UNBELIEVED.warn(
                "requests from the internet carry X-Forwarded-For, which is not believed: a client made it up, or a \
                 proxy is missing in `trusted_proxies`",
            );
        }
    }

    /// The client of a request: the peer, or, if the peer is a trusted proxy, the last address in
    /// `X-Forwarded-For` that is not one.
    pub fn client(&self, peer: &Peer, headers: &HeaderMap) -> ClientAddress {
        let Some(peer) = peer.ip() else {
            return ClientAddress::of(Ipv6Addr::LOCALHOST.into());
        };
        if !self.trusts(peer) {
            if headers.contains_key(FORWARDED_FOR) {
                Self::say_unbelieved(peer);
            }
            return ClientAddress::of(peer);
        }
        let lines: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let hops = lines
            .iter()
            .rev()
            .flat_map(|line| line.rsplit(','))
            .map(address_of);
        let mut nearest = peer;
        for hop in hops {
            let Some(hop) = hop else {
                UNREADABLE.warn(
                    "a trusted proxy sends an X-Forwarded-For without a readable address at its end: its clients \
                     share one rate limit",
                );
                break;
            };
            nearest = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        ClientAddress::of(nearest)
    }
}

impl ClientAddress {
    /// As a number, for keys.
    pub(crate) const fn bits(self) -> u128 {
        self.0
    }

    /// Under which names the client holds something, the widest last, and how many clients' shares
    /// each may hold.
    pub(crate) fn holders(self) -> impl Iterator<Item = (Holder, usize)> {
        let network = self.network().map(Holder::Network);
        let own = (Holder::Client(self.0), 1);
        std::iter::once(own).chain(network.map(|network| (network, SHARES_OF_A_NETWORK)))
    }

    /// The IPv6 /48 the client is in: what one customer of a hoster may hold.
    pub(crate) fn network(self) -> Option<u128> {
        let is_v4 = Ipv6Addr::from_bits(self.0).to_ipv4_mapped().is_some();
        (!is_v4).then(|| self.0 & Network::mask(48))
    }

    /// The part of the internet an address is in: an IPv4 /16, an IPv6 /32.
    pub(crate) fn neighbourhood(bits: u128) -> u128 {
        match Ipv6Addr::from_bits(bits).to_ipv4_mapped() {
            Some(_) => bits & Network::mask(112),
            None => bits & Network::mask(32),
        }
    }

    /// The client behind an address.
    pub fn of(address: IpAddr) -> Self {
        let address = as_v6(address);
        match address.to_ipv4_mapped() {
            Some(_) => Self(address.to_bits()),
            None => Self(address.to_bits() & Network::mask(64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(value: &str) -> HeaderMap {
        HeaderMap::from_iter([("x-forwarded-for".parse().unwrap(), value.parse().unwrap())])
    }

    fn proxies(networks: &[&str]) -> TrustedProxies {
        serde_json::from_value(serde_json::json!(networks)).unwrap()
    }

    fn address(text: &str) -> ClientAddress {
        ClientAddress::of(text.parse().unwrap())
    }

    #[test]
    fn only_a_configured_proxy_may_speak_for_others() {
        let headers = forwarded("203.0.113.7");
        assert_eq!(
            proxies(&[]).client(&Peer::calling_from("10.0.0.1"), &headers),
            address("10.0.0.1")
        );
        assert_eq!(
            proxies(&["10.0.0.0/8"]).client(&Peer::calling_from("10.0.0.1"), &headers),
            address("203.0.113.7")
        );
        assert_eq!(
            proxies(&["10.0.0.0/8"]).client(&Peer::calling_from("192.0.2.1"), &headers),
            address("192.0.2.1")
        );
    }

    #[test]
    fn an_address_the_client_wrote_itself_is_not_believed() {
        let headers = forwarded("198.51.100.1, 203.0.113.7, 10.0.0.2");
        assert_eq!(
            proxies(&["10.0.0.0/8"]).client(&Peer::calling_from("10.0.0.1"), &headers),
            address("203.0.113.7")
        );
    }

    #[test]
    fn a_hop_may_be_written_with_its_port() {
        for (written, meant) in [
            ("203.0.113.7:51234", "203.0.113.7"),
            ("[2001:db8::7]:51234", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            (" 2001:db8::7 ", "2001:db8::7"),
        ] {
            let client =
                proxies(&["10.0.0.1"]).client(&Peer::calling_from("10.0.0.1"), &forwarded(written));
            assert_eq!(client, address(meant), "{written}");
        }
        // What is no address ends the way back: the proxy itself is counted, and the journal says
        // so.
        let unknown =
            proxies(&["10.0.0.1"]).client(&Peer::calling_from("10.0.0.1"), &forwarded("unknown"));
        assert_eq!(unknown, address("10.0.0.1"));
    }

    #[test]
    fn proxies_that_are_half_the_internet_are_said_at_the_start() {
        let private = [
            "10.0.0.0/8",
            "127.0.0.0/8",
            "172.16.0.0/12",
            "fd00::/8",
            "::1/128",
        ];
        assert_eq!(proxies(&private).doubts(), Vec::<String>::new());
        // A provider's range may well be meant.
        let some = [
            "203.0.113.0/24",
            "198.18.0.0/16",
            "2001:db8::/48",
            "192.0.2.1",
        ];
        assert_eq!(proxies(&some).doubts(), Vec::<String>::new());
        for wide in [
            "104.0.0.0/8",
            "128.0.0.0/1",
            "2000::/3",
            "2001:db8::/32",
            "10.0.0.0/7",
        ] {
            let doubts = proxies(&["127.0.0.1", wide]).doubts();
            assert_eq!(doubts.len(), 1, "{wide}: {doubts:?}");
            assert!(doubts[0].starts_with(wide), "{doubts:?}");
        }
        let counted = &proxies(&["104.0.0.0/8"]).doubts()[0];
        assert!(counted.contains("16777216 addresses"), "{counted}");
    }

    #[test]
    fn a_header_of_somebody_untrusted_is_said_and_not_believed() {
        // Nobody else counts with these in this process: the throttle hands out what it counted
        // since it last spoke.
        let said = |throttle: &LogThrottle| throttle.count(std::time::Instant::now()).is_none();
        for (peer, throttle) in [("172.17.0.2", &UNNAMED_PROXY), ("203.0.113.9", &UNBELIEVED)] {
            let client = proxies(&["10.0.0.1"])
                .client(&Peer::calling_from(peer), &forwarded("198.51.100.1"));
            assert_eq!(client, address(peer));
            assert!(said(throttle), "{peer}");
        }
    }

    #[test]
    fn neighbours_in_one_64_are_one_client() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }

    #[test]
    fn networks_are_read_and_wrong_ones_refused() {
        for text in ["10.0.0.0/8", "::1/128", "192.0.2.1/32", "2001:db8::/32"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        for text in [
            "10.0.0.0/33",
            "::/129",
            "localhost",
            "10.0.0.0/",
            "",
            "0.0.0.0/0",
            "::/0",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
