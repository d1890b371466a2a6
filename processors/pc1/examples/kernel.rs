// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(missing_docs, unsafe_code)]
use std::sync::Arc;
#[derive(Clone,Copy)] struct Cpu(f64);
impl Cpu { fn now() -> Self { let t = { let mut t: libc::timespec = unsafe { std::mem::zeroed() }; unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) }; t }; Cpu(t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9) } fn elapsed(self) -> f64 { Cpu::now().0 - self.0 } }

use sealpipe_pc1::{graph::Graph, label::{Batch, Kernel, Lane, reference}, memory::{labels::{Writer, to_bytes, to_words}, pages::Pages, supply::Supply}, parents::Parents};

fn clock_ghz() -> f64 {
    let mut best = f64::MAX;
    for _ in 0..9 {
        let n = 500_000_u64;
        let t = Cpu::now();
        let mut i = n;
        unsafe { std::arch::asm!("2: add {a},{a}","add {a},{a}","add {a},{a}","add {a},{a}","dec {i}","jnz 2b", a = out(reg) _, i = inout(reg) i) };
        let _ = i;
        best = best.min(t.elapsed() / (4 * n) as f64);
    }
    1e-9 / best
}

fn writer(n: usize, w: usize, pages: Pages) -> Writer {
    let s = Supply::System { pages, node: None };
    let (x, mut b) = Writer::reserve(n, w, pages.bytes()).unwrap();
    b.back(usize::MAX, &s).unwrap();
    x
}

fn main() {
    let lg: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let check = std::env::args().nth(2).as_deref() == Some("check");
    let n = 1_usize << lg;
    let mut porep = [0; 32]; porep[0] = 7;
    let graph = Graph::new(n as u64, porep);
    let parents = Arc::new(Parents::compute(&graph));
    let pages = if lg > 14 { Pages::Transparent } else { Pages::Plain };
    let layers = 2;
    for width in 1..=4_usize {
        let mut kernel = Kernel::detect();
        let lanes: Vec<Lane> = (0..width).map(|i| { let mut r = [7; 32]; r[3] = i as u8; Lane { index: i, replica_id: to_words(&r) } }).collect();
        let mut previous = None;
        let mut before: Vec<Vec<[u8; 32]>> = vec![];
        for layer in 1..=layers {
            let mut batch = Batch { layer, parents: parents.clone(), current: writer(n, width, pages), previous: previous.take(), lanes: lanes.clone() };
            batch.label_first();
            let ghz = clock_ghz();
            let t = Cpu::now();
            let mut best = f64::MAX;
            let mut left = n - 1;
            while left > 0 { let c = left.min(4096); let u = Cpu::now(); kernel.advance(&mut [&mut batch], c); left -= c; if c==4096 || lg<=12 {best = best.min(u.elapsed()/c as f64);} }
            let s = t.elapsed() / (n - 1) as f64;
            println!("{width} lanes, layer {layer}: {:.0} ns a node ({:.0} best), {:.0} cycles a node and lane, best {:.0} ({ghz:.2} GHz)", s * 1e9 / width as f64, best*1e9/width as f64, s * ghz * 1e9 / width as f64, best*ghz*1e9/width as f64);
            if check {
                let mut now = vec![];
                for lane in &lanes {
                    let mut l: Vec<[u8; 32]> = vec![];
                    for node in 0..n {
                        let p = parents.of(node);
                        let mut ps: Vec<[u8; 32]> = vec![];
                        if node > 0 {
                            ps.extend(p[..6].iter().map(|p| l[*p as usize]));
                            if layer > 1 { ps.extend(p[6..].iter().map(|p| before[lane.index][*p as usize])); }
                        }
                        l.push(reference::label(&to_bytes(lane.replica_id), layer, node as u64, &ps));
                        assert_eq!(l[node], to_bytes(batch.current.labels().get(node, lane.index)), "width {width} layer {layer} lane {} node {node}", lane.index);
                    }
                    now.push(l);
                }
                before = now;
            }
            previous = Some(batch.current.labels().clone());
        }
    }
}
