//! Flows of fragments.

use crate::support::{Capture, actions, config, data_fragments, flows_of, syn};

/// Its first fragments pin it while its slot is in transition: else it would move when that folds.
#[test]
fn a_tcp_flow_of_fragments_alone_stays() {
    let config = config();
    let flow = flows_of(&config, "web/web3", 0, 1)[0];
    let mut capture = Capture::default();
    capture.add(0, syn(flow));
    for (number, at) in (1..).zip((300..5_000).step_by(300)) {
        for fragment in data_fragments(flow, number) {
            capture.add(at, fragment);
        }
    }
    let outcome = capture.run(&config, &actions(&[("1s", "drain web/web3")]));
    assert_eq!(outcome.backends(flow), ["web/web3"], "{:?}", outcome.journey(flow));
}
