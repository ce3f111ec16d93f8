//! `[[route]]`: next hops beyond the interfaces' own subnets.

use crate::addresses;
use crate::interfaces::OwnAddresses;
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::ways::Ways;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::HashMap;
use std::net::IpAddr;

/// Next hops of one family in one route.
const MOST_HOPS: usize = 16;

pub(crate) struct RouteDraft {
    /// `None` inside: `default`.
    to: Option<Located<Option<IpNet>>>,
    /// Next hops of one family or of both.
    via: Vec<Located<IpAddr>>,
    /// Whether nothing of the route was refused.
    pub(crate) complete: bool,
}

/// What a route says of one family.
pub(crate) struct FamilyRoute {
    pub(crate) to: IpNet,
    /// At least one, all of the family of `to`.
    pub(crate) hops: Vec<Located<IpAddr>>,
}

impl RouteDraft {
    /// One route for each family among the next hops, in the order of the first next hops.
    pub(crate) fn routes(&self) -> impl Iterator<Item = FamilyRoute> {
        let of = |v4: bool| self.via.iter().copied().filter(|hop| hop.value.is_ipv4() == v4).collect::<Vec<_>>();
        let v4_first = self.via.first().is_some_and(|hop| hop.value.is_ipv4());
        let to = self.to.map(|to| to.value);
        [v4_first, !v4_first].into_iter().filter_map(move |v4| {
            let any = if v4 { IpNet::V4(Ipv4Net::default()) } else { IpNet::V6(Ipv6Net::default()) };
            let hops = of(v4);
            (!hops.is_empty()).then_some(FamilyRoute { to: to?.unwrap_or(any), hops })
        })
    }
}

/// Reads one route.
pub(crate) fn read(mut route: Reader<'_>, report: &mut Report) -> RouteDraft {
    let to = route.need("to", report).and_then(|value| {
        value.parsed(|text| if text == "default" { Ok(None) } else { addresses::prefix(text).map(Some) }, report)
    });
    let via = route.need("via", report).and_then(|value| via(value, report));
    route.finish(report);
    let mut complete = to.is_some() && via.is_some();
    let mut via = via.unwrap_or_default();
    if let Some(Located { value: Some(to), .. }) = to {
        for hop in via.iter().filter(|hop| hop.value.is_ipv4() != to.addr().is_ipv4()) {
            report.error(hop.at, format!("the next hop {} is of another family than {to}", hop.value));
            complete = false;
        }
        via.retain(|hop| hop.value.is_ipv4() == to.addr().is_ipv4());
    }
    RouteDraft { to, via, complete }
}

/// The next hops; `None` if any was refused.
fn via(value: Value<'_>, report: &mut Report) -> Option<Vec<Located<IpAddr>>> {
    let items = value.array("addresses", report)?;
    if items.is_empty() {
        report.error(value.at, "`via` is empty").help("name the next hop, for example [\"10.0.0.254\"]");
        return None;
    }
    let hops: Vec<_> = items.into_iter().map(|item| item.parsed(addresses::address, report)).collect();
    let hops = hops.into_iter().collect::<Option<Vec<_>>>()?;
    let distinct = distinct(&hops, report);
    let few = few(&hops, true, report) & few(&hops, false, report);
    (distinct && few).then_some(hops)
}

/// Reports next hops that are listed twice; whether there were none.
fn distinct(hops: &[Located<IpAddr>], report: &mut Report) -> bool {
    let mut first = HashMap::new();
    let mut distinct = true;
    for hop in hops {
        if let Some(&at) = first.get(&hop.value) {
            report.error(hop.at, format!("the next hop {} is listed twice", hop.value)).related(at, "first listed");
            distinct = false;
        } else {
            first.insert(hop.value, hop.at);
        }
    }
    distinct
}

/// Whether one family has no more next hops than a route takes; reports it otherwise.
fn few(hops: &[Located<IpAddr>], v4: bool, report: &mut Report) -> bool {
    let of_family = || hops.iter().filter(|hop| hop.value.is_ipv4() == v4);
    let Some(first) = of_family().nth(MOST_HOPS) else { return true };
    let count = of_family().count();
    report.error(first.at, format!("a route holds at most {MOST_HOPS} next hops of one family, this one has {count}"));
    false
}

/// Checks the routes against the interfaces and against each other.
pub(crate) fn check(routes: &[RouteDraft], own: &OwnAddresses, ways: &Ways, report: &mut Report) {
    let mut first: HashMap<IpNet, usize> = HashMap::new();
    for FamilyRoute { to, hops } in routes.iter().flat_map(RouteDraft::routes) {
        for hop in &hops {
            next_hop(*hop, own, ways, report);
        }
        let Some(at) = hops.first().map(|hop| hop.at) else { continue };
        if let Some(&given) = first.get(&to) {
            report
                .error(at, format!("there is a route to {to} already"))
                .related(given, "first given")
                .help("put all its next hops into one `via`");
        } else {
            first.insert(to, at);
        }
    }
}

fn next_hop(hop: Located<IpAddr>, own: &OwnAddresses, ways: &Ways, report: &mut Report) {
    if let Some(&given) = own.get(&hop.value) {
        report.error(hop.at, format!("the next hop {} is an own address", hop.value)).related(given, "given");
    } else if !ways.is_connected(hop.value) && ways.addresses_complete {
        report
            .error(hop.at, format!("the next hop {} is in no interface's subnet", hop.value))
            .help("give an [[interface]] an address of the next hop's subnet");
    }
}
