//! VLANs for kernels that know none: a switch with a trunk, whose frames carry tags (IEEE 802.1Q, 802.1ad), and access
//! ports, whose frames do not. All of them are TAP devices.

use crate::helpers::helper;
use crate::process::{Process, wait_for};
use crate::topology::Lab;
use anyhow::{Context, Result, bail};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// What the program `vlans` prints when its devices are there.
pub const READY: &str = "vlans: ready";
/// The EtherType of a customer's tag.
const CUSTOMER: [u8; 2] = [0x81, 0x00];
/// The EtherType of a provider's tag.
const SERVICE: [u8; 2] = [0x88, 0xa8];
/// Room for any frame of the lab.
const LARGEST_FRAME: usize = 16384;

/// The tags of a VLAN, as they lie in a frame behind the addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags(Vec<u8>);

impl FromStr for Tags {
    type Err = anyhow::Error;

    /// `120`, or `100.120` for VLAN 120 inside of service VLAN 100.
    fn from_str(text: &str) -> Result<Self> {
        let (service, customer) = match text.split_once('.') {
            Some((service, customer)) => (Some(service), customer),
            None => (None, text),
        };
        let mut bytes = Vec::new();
        for (kind, number) in service.map(|number| (SERVICE, number)).into_iter().chain([(CUSTOMER, customer)]) {
            let number: u16 = number.parse().with_context(|| format!("no VLAN: {text:?}"))?;
            bytes.extend(kind);
            bytes.extend(number.to_be_bytes());
        }
        Ok(Self(bytes))
    }
}

impl Tags {
    /// An untagged frame with these tags.
    pub fn put_on(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let (addresses, rest) = frame.split_at_checked(12)?;
        Some([addresses, &self.0, rest].concat())
    }

    /// A frame without its tags, if they are these. The priority may be any.
    pub fn take_off(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let (addresses, mut rest) = frame.split_at_checked(12)?;
        let mut found = Vec::new();
        while let [kind0, kind1, high, low, behind @ ..] = rest
            && [CUSTOMER, SERVICE].contains(&[*kind0, *kind1])
        {
            found.extend([*kind0, *kind1, high & 0x0f, *low]);
            rest = behind;
        }
        (found == self.0).then(|| [addresses, rest].concat())
    }
}

/// Creates the TAP devices and passes frames between them. Calls `ready` when the devices are there; returns only on an
/// error.
pub fn switch(trunk: &str, access: &[(String, Tags)], ready: impl FnOnce()) -> Result<()> {
    let trunk = Arc::new(open_tap(trunk)?);
    let access = access.iter().map(|(device, tags)| Ok((Arc::new(open_tap(device)?), tags.clone())));
    let access = access.collect::<Result<Vec<_>>>()?;
    let mut threads = Vec::new();
    for (device, tags) in access.clone() {
        let trunk = Arc::clone(&trunk);
        threads.push(std::thread::spawn(move || {
            pass_frames(&device, |frame| {
                if let Some(tagged) = tags.put_on(frame) {
                    // A device that is down (EIO) loses frames as any port does.
                    let _ = trunk.send(&tagged);
                }
            })
        }));
    }
    threads.push(std::thread::spawn(move || {
        pass_frames(&trunk, |frame| {
            for (device, tags) in &access {
                if let Some(untagged) = tags.take_off(frame) {
                    let _ = device.send(&untagged);
                }
            }
        })
    }));
    ready();
    for thread in threads {
        match thread.join() {
            Ok(result) => result?,
            Err(_) => bail!("a thread of the switch panicked"),
        }
    }
    Ok(())
}

fn pass_frames(device: &SyncDevice, mut pass: impl FnMut(&[u8])) -> Result<()> {
    let mut buffer = vec![0; LARGEST_FRAME];
    loop {
        let length = device.recv(&mut buffer).context("cannot read from a TAP device")?;
        pass(&buffer[..length]);
    }
}

fn open_tap(device: &str) -> Result<SyncDevice> {
    let open = DeviceBuilder::new().name(device).layer(Layer::L2).mtu(1600).build_sync();
    open.with_context(|| format!("cannot create the TAP device {device}"))
}

/// A running switch in a lab's segment; dropped means unplugged.
#[derive(Debug)]
pub struct VlanSwitch {
    _process: Process,
}

impl VlanSwitch {
    /// Starts a switch whose trunk is a port of the bridge `trunk`; `access` names the bridge that each VLAN is connected
    /// with, in the form of [`Tags`]: `[("br0", "130")]`.
    pub fn start(lab: &Lab, trunk: &str, access: &[(&str, &str)]) -> Result<Self> {
        let devices: Vec<_> = (0..access.len()).map(|number| format!("vlan{number}")).collect();
        let mut arguments = vec!["--trunk".to_owned(), "trunk".to_owned()];
        let mut lines = format!("link set trunk master {trunk}\nlink set trunk up\n");
        for ((bridge, tags), device) in access.iter().zip(&devices) {
            arguments.push(format!("--access={device}={tags}"));
            lines.push_str(&format!("link set {device} master {bridge}\nlink set {device} up\n"));
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let log = lab.folder().join("vlans.log");
        let mut process = lab.segment().spawn(helper("vlans")?, &arguments, &log)?;
        wait_for("the switch to be ready", Duration::from_secs(10), || {
            if let Some(status) = process.try_wait()? {
                bail!("the switch ended: {status}\n{}", process.log_tail(10));
            }
            Ok(process.log_tail(1).contains(READY).then_some(()))
        })?;
        lab.segment().ip(&lines)?;
        Ok(Self { _process: process })
    }
}

#[cfg(test)]
mod tests {
    use super::Tags;
    use anyhow::Result;

    #[test]
    fn tags_are_put_on_and_taken_off() -> Result<()> {
        let frame: Vec<u8> = (0..12).chain([0x08, 0x00, 0x45]).collect();
        let (one, two): (Tags, Tags) = ("120".parse()?, "100.120".parse()?);
        let tagged = one.put_on(&frame).expect("long enough");
        assert_eq!(tagged[12..], [0x81, 0x00, 0, 120, 0x08, 0x00, 0x45]);
        let twice = two.put_on(&frame).expect("long enough");
        assert_eq!(twice[12..], [0x88, 0xa8, 0, 100, 0x81, 0x00, 0, 120, 0x08, 0x00, 0x45]);
        assert_eq!(one.take_off(&tagged).as_ref(), Some(&frame));
        assert_eq!(two.take_off(&twice).as_ref(), Some(&frame));
        for (tags, other) in [(&one, &twice), (&two, &tagged), (&one, &frame), (&"121".parse()?, &tagged)] {
            assert_eq!(tags.take_off(other), None, "{tags:?} {other:?}");
        }
        let urgent: Vec<u8> = tagged.iter().enumerate().map(|(at, byte)| if at == 14 { 0xe0 } else { *byte }).collect();
        assert_eq!(one.take_off(&urgent), Some(frame), "a priority");
        Ok(())
    }

    #[test]
    fn what_is_no_vlan_is_refused() {
        for text in ["", "x", "100.", "1.2.3", "70000"] {
            assert!(text.parse::<Tags>().is_err(), "{text:?}");
        }
    }
}
