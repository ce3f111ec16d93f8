//! `[[route]]`: next hops beyond the interfaces' own subnets.

use crate::interfaces::OwnAddresses;
use crate::model::Route;
use crate::reader::{Located, Reader, Value, not_built};
use crate::report::Report;
use crate::scalar;
use crate::ways::Ways;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::HashMap;
use std::net::IpAddr;

pub(crate) struct RouteDraft {
    /// `None` inside: `default`.
    to: Option<Located<Option<IpNet>>>,
    /// At most one of each family.
    via: Vec<Located<IpAddr>>,
    /// Whether nothing of the route was refused.
    pub(crate) complete: bool,
}

impl RouteDraft {
    /// One route for each next hop, with where its next hop is written.
    pub(crate) fn routes(&self) -> impl Iterator<Item = Located<Route>> {
        let to = self.to.map(|to| to.value);
        self.via.iter().filter_map(move |via| {
            let to = to?.unwrap_or(match via.value {
                IpAddr::V4(_) => IpNet::V4(Ipv4Net::default()),
                IpAddr::V6(_) => IpNet::V6(Ipv6Net::default()),
            });
            Some(via.map(|via| Route { to, via }))
        })
    }
}

/// Reads one route.
pub(crate) fn read(mut route: Reader<'_>, report: &mut Report) -> RouteDraft {
    let to = route.need("to", report).and_then(|value| {
        value.parsed(|text| if text == "default" { Ok(None) } else { scalar::prefix(text).map(Some) }, report)
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
    let hops: Vec<_> = items.into_iter().map(|item| item.parsed(scalar::address, report)).collect();
    let hops = hops.into_iter().collect::<Option<Vec<_>>>()?;
    let mut kept: Vec<Located<IpAddr>> = Vec::new();
    let mut refused = false;
    for hop in hops {
        if kept.iter().any(|first| first.value.is_ipv4() == hop.value.is_ipv4()) {
            not_built(report, hop.at, "a second next hop of one family", "keep one IPv4 and one IPv6 address in `via`");
            refused = true;
        } else {
            kept.push(hop);
        }
    }
    (!refused).then_some(kept)
}

/// Checks the routes against the interfaces and against each other.
pub(crate) fn check(routes: &[RouteDraft], own: &OwnAddresses, ways: &Ways, report: &mut Report) {
    let mut first: HashMap<IpNet, usize> = HashMap::new();
    for Located { at, value: route } in routes.iter().flat_map(RouteDraft::routes) {
        if let Some(&given) = own.get(&route.via) {
            report.error(at, format!("the next hop {} is an own address", route.via)).related(given, "given");
        } else if !ways.is_connected(route.via) && ways.addresses_complete {
            report
                .error(at, format!("the next hop {} is in no interface's subnet", route.via))
                .help("give an [[interface]] an address of the next hop's subnet");
        }
        if let Some(&given) = first.get(&route.to) {
            report
                .error(at, format!("there is a route to {} already", route.to))
                .related(given, "first given")
                .help("several next hops of one family are not built yet: keep one");
        } else {
            first.insert(route.to, at);
        }
    }
}
