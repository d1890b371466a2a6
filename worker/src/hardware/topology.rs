// SPDX-License-Identifier: MIT OR Apache-2.0

//! From hwloc's view of a machine to sockets, nodes, groups and cores.
//!
//! This machine is asked through hwloc's objects, which need no text in between. Of another one hwloc
//! writes the same XML whether it is described by a file that `lstopo --of xml` wrote or by synthetic
//! text; that tells what only it knows, the memory of the nodes and the devices.

use std::collections::{BTreeMap, BTreeSet};

use hwloc2::{Bitmap, ObjectType, Topology, TopologyObject};
use roxmltree::{Document, ParsingOptions};
use sealpipe_protocol::placement::CpuList;

use super::{Core, Hardware, HugePages, L3Group, Memory, Node, Socket, devices};

/// Most XML nodes that are read: a machine of 8192 cpus has a few hundred thousand.
const MAX_XML_NODES: u32 = 2_000_000;

/// Pages of more than this are huge, in bytes: ordinary ones have 4 KiB, on some machines 64 KiB.
const MAX_ORDINARY_PAGE_BYTES: u64 = 64 * 1024;

/// Why a topology cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// It is no XML of hwloc.
    #[error("hwloc's XML cannot be read: {0}")]
    Xml(String),
    /// hwloc could not look at this machine.
    #[error("hwloc cannot read the topology of this machine")]
    Load,
    /// It has no cpu.
    #[error("hwloc found no cpu")]
    NoCpus,
    /// It has no memory node; hwloc makes one even where the machine tells of none.
    #[error("hwloc found no memory node")]
    NoNodes,
}

/// An object of the tree.
pub(super) type Object<'a> = roxmltree::Node<'a, 'a>;

/// Where a cpu is in the tree.
struct Place {
    cpu: u32,
    package: Option<u32>,
    node: u32,
    /// The cache object, and its size in bytes.
    l3: Option<(usize, Option<u64>)>,
    core: usize,
}

/// A NUMA node and the cpus next to it, which a node of memory only shares with another.
type Memories = BTreeMap<u32, (Node, CpuList)>;

/// Reads what `hwloc_topology_export_xml` wrote, in the format of hwloc 2.
///
/// # Errors
/// The text is no such XML, or names no cpu.
pub fn parse(xml: &str) -> Result<Hardware, TopologyError> {
    let options =
        ParsingOptions { allow_dtd: true, nodes_limit: MAX_XML_NODES, ..Default::default() };
    let document = Document::parse_with_options(xml, options)
        .map_err(|error| TopologyError::Xml(error.to_string()))?;
    let objects: Vec<Object<'_>> =
        document.descendants().filter(|node| node.has_tag_name("object")).collect();
    let memories: Memories = of_type(&objects, "NUMANode").filter_map(memory).collect();
    let first_node = *memories.keys().next().ok_or(TopologyError::NoNodes)?;
    let places: Vec<_> = of_type(&objects, "PU")
        .filter_map(|pu| {
            let nodes = bits(pu.attribute("nodeset")?);
            let node = nodes.iter().find(|node| memories.contains_key(node));
            place(pu, node.unwrap_or(first_node))
        })
        .collect();
    if places.is_empty() {
        return Err(TopologyError::NoCpus);
    }
    Ok(Hardware {
        cpu_model: objects.iter().find_map(|object| info(*object, "CPUModel")),
        gpus: devices::gpus(&objects),
        disks: devices::disks(&objects),
        ..assemble(&places, memories)
    })
}

/// What hwloc sees of this machine. How much memory its nodes have the kernel says.
///
/// # Errors
/// hwloc cannot look, or finds no cpu.
pub fn look() -> Result<Hardware, TopologyError> {
    let topology = Topology::new().ok_or(TopologyError::Load)?;
    let nodes: Vec<u32> = topology.object_at_root().nodeset().map(indices).unwrap_or_default();
    let first_node = *nodes.first().ok_or(TopologyError::NoNodes)?;
    let cpus = topology.objects_with_type(&ObjectType::PU).unwrap_or_default();
    let cpus = cpus.into_iter().filter(|pu| pu.os_index() <= CpuList::MAX_CPU);
    let places: Vec<_> = cpus.map(|pu| place_of(pu, first_node)).collect();
    if places.is_empty() {
        return Err(TopologyError::NoCpus);
    }
    let memory = |index| (index, (Node { index, ..Node::default() }, CpuList::default()));
    Ok(assemble(&places, nodes.into_iter().map(memory).collect()))
}

/// Where a cpu is, from the cpu upwards: this works wherever a machine has its caches, and nodes are
/// no part of the tree that goes down from the root.
fn place_of(pu: &TopologyObject, first_node: u32) -> Place {
    let above = |wanted| {
        let mut objects = std::iter::successors(Some(pu), |object| object.parent());
        objects.find(|object| object.object_type() == wanted)
    };
    // hwloc's logical index is unique among objects of one type.
    let index = |object: &TopologyObject| object.logical_index() as usize;
    let size = |cache: &TopologyObject| {
        cache.cache_attributes().map(|cache| cache.size()).filter(|bytes| *bytes > 0)
    };
    Place {
        cpu: pu.os_index(),
        package: above(ObjectType::Package).map(TopologyObject::os_index),
        node: pu.nodeset().and_then(|set| indices(set).first().copied()).unwrap_or(first_node),
        l3: above(ObjectType::L3Cache).map(|cache| (index(cache), size(cache))),
        core: index(above(ObjectType::Core).unwrap_or(pu)),
    }
}

/// The members of a set. The binding iterates over an endless set for ever; the kernel's own bound on
/// cpus and nodes ends it.
fn indices(set: Bitmap) -> Vec<u32> {
    set.into_iter().take_while(|index| *index <= CpuList::MAX_CPU).collect()
}

fn assemble(places: &[Place], memories: Memories) -> Hardware {
    let total_bytes = memories.values().map(|(node, _)| node.memory_bytes).sum();
    Hardware {
        sockets: sockets(places, memories),
        memory: Memory { total_bytes, ..Memory::default() },
        ..Hardware::default()
    }
}

/// The objects of one of hwloc's types.
pub(super) fn of_type<'a>(
    objects: &[Object<'a>],
    wanted: &'static str,
) -> impl Iterator<Item = Object<'a>> {
    objects.iter().copied().filter(move |object| object.attribute("type") == Some(wanted))
}

/// An attribute that is a number.
pub(super) fn number<T: std::str::FromStr>(object: Object<'_>, name: &str) -> Option<T> {
    object.attribute(name)?.parse().ok()
}

/// What hwloc says about an object by a name.
pub(super) fn info(object: Object<'_>, name: &str) -> Option<String> {
    let mut infos = object.children().filter(|child| child.has_tag_name("info"));
    let info = infos.find(|info| info.attribute("name") == Some(name))?;
    Some(info.attribute("value")?.trim().to_owned())
}

/// The members of a set: hexadecimal words of 32 bits, the most significant first. A set without an
/// end (`0xf...f`) ends where cpus do.
pub(super) fn bits(set: &str) -> CpuList {
    let mut members = Vec::new();
    for (idx, word) in set.rsplit(',').enumerate() {
        let digits = word.trim_start_matches("0x");
        // An endless set repeats its ones; nobody has a cpu or node there.
        let Ok(word) = u32::from_str_radix(digits, 16) else { break };
        let base = u32::try_from(idx * 32).unwrap_or(u32::MAX);
        if base > CpuList::MAX_CPU {
            break;
        }
        members.extend((0..32).filter(|bit| word >> bit & 1 == 1).map(|bit| base + bit));
    }
    members.into_iter().filter(|member| *member <= CpuList::MAX_CPU).collect()
}

fn memory(object: Object<'_>) -> Option<(u32, (Node, CpuList))> {
    let index = number(object, "os_index")?;
    let pages = object.children().filter(|child| child.has_tag_name("page_type"));
    let huge_pages = pages.filter_map(|page| {
        let size_bytes = number(page, "size").filter(|size| *size > MAX_ORDINARY_PAGE_BYTES)?;
        Some(HugePages { size_bytes, total: number(page, "count")?, free: None })
    });
    let node = Node {
        index,
        memory_bytes: number(object, "local_memory").unwrap_or(0),
        huge_pages: huge_pages.collect(),
        ..Node::default()
    };
    Some((index, (node, object.attribute("cpuset").map(bits).unwrap_or_default())))
}

fn place(pu: Object<'_>, node: u32) -> Option<Place> {
    let cpu = number(pu, "os_index").filter(|cpu| *cpu <= CpuList::MAX_CPU)?;
    let above = |wanted: &str| pu.ancestors().find(|o| o.attribute("type") == Some(wanted));
    Some(Place {
        cpu,
        package: above("Package").and_then(|package| number(package, "os_index")),
        node,
        l3: above("L3Cache").map(|cache| (cache.id().get_usize(), number(cache, "cache_size"))),
        core: above("Core").unwrap_or(pu).id().get_usize(),
    })
}

/// Packages and nodes that belong together: usually a package and its nodes, and where a node
/// stretches over several packages, those.
#[derive(Default)]
struct Part {
    packages: BTreeSet<u32>,
    nodes: BTreeSet<u32>,
}

fn parts(places: &[Place]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let pairs: BTreeSet<_> = places.iter().map(|place| (place.package, place.node)).collect();
    for (package, node) in pairs {
        let touches = |part: &Part| {
            part.nodes.contains(&node) || package.is_some_and(|p| part.packages.contains(&p))
        };
        let (touched, others) = parts.into_iter().partition::<Vec<_>, _>(touches);
        let mut whole = Part { packages: package.into_iter().collect(), nodes: [node].into() };
        for part in touched {
            whole.packages.extend(part.packages);
            whole.nodes.extend(part.nodes);
        }
        parts = others;
        parts.push(whole);
    }
    let first_cpu = |part: &Part| {
        places.iter().filter(|place| part.nodes.contains(&place.node)).map(|place| place.cpu).min()
    };
    parts.sort_by_key(first_cpu);
    parts
}

fn sockets(places: &[Place], mut memories: Memories) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for part in parts(places) {
        let nodes = part.nodes.iter().filter_map(|index| {
            let (node, _) = memories.remove(index)?;
            Some(Node { l3_groups: l3_groups(places, *index), ..node })
        });
        let nodes = nodes.collect();
        sockets.push(Socket { packages: part.packages.into_iter().collect(), nodes });
    }
    // What is left has memory only. It belongs to the socket whose cpus are next to it.
    for (node, near) in memories.into_values() {
        let is_near = |socket: &Socket| {
            socket.nodes.iter().any(|other| !other.cpus().intersection(&near).is_empty())
        };
        match sockets.iter_mut().find(|socket| is_near(socket)) {
            Some(socket) => {
                socket.nodes.push(node);
                socket.nodes.sort_by_key(|node| node.index);
            }
            None => sockets.push(Socket { packages: Vec::new(), nodes: vec![node] }),
        }
    }
    sockets
}

fn l3_groups(places: &[Place], node: u32) -> Vec<L3Group> {
    let mut groups: BTreeMap<_, BTreeMap<usize, Vec<u32>>> = BTreeMap::new();
    for place in places.iter().filter(|place| place.node == node) {
        groups.entry(place.l3).or_default().entry(place.core).or_default().push(place.cpu);
    }
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|(l3, cores)| {
            let cores = cores.into_values().map(|cpus| Core { cpus: cpus.into_iter().collect() });
            let mut cores: Vec<_> = cores.collect();
            cores.sort_by_key(Core::first_cpu);
            L3Group { cache_bytes: l3.and_then(|(_, bytes)| bytes), cores }
        })
        .collect();
    groups.sort_by_key(|group| group.cores.first().and_then(Core::first_cpu));
    groups
}

#[cfg(test)]
mod tests;
