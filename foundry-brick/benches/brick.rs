//! What folding, unfolding and changing cost, beside what they are measured against.
//!
//! `cargo bench -p foundry-brick [-- [FILE] [--only=parts|fold|unfold|change]]`: FILE is what is folded (by default the compiler's own
//! library, which is large and like what people have). Every figure is the best of several rounds,
//! in processor time of one thread;
//! the peer runs in the same process, on the same bytes.
#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::unwrap_used, reason = "a bench that fails may stop")]

use foundry_brick::curve::{self, Raster};
use foundry_brick::simd::Path;
use foundry_brick::storage::{MemStorage, Storage};
use foundry_brick::{Editor, Meta, Payload, cells, hash};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

const TILE: usize = 65_536;

fn main() {
    let named = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let bytes = named.map_or_else(sample, |path| std::fs::read(path).unwrap());
    println!("{} MB; this processor's best path is {:?}", bytes.len() / 1_000_000, Path::best());
    let only = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.strip_prefix("--only=").map(str::to_owned))
        .next();
    let wanted = |part: &str| only.as_ref().is_none_or(|only| only == part);
    if wanted("parts") {
        parts(&bytes);
    }
    if wanted("fold") {
        fold(&bytes);
    }
    if wanted("unfold") {
        unfold(&bytes);
    }
    if wanted("change") {
        change();
    }
}

/// The largest library beside the compiler, or noise.
fn sample() -> Vec<u8> {
    let dirs = std::env::var_os("RUSTUP_HOME").map(std::path::PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| std::path::PathBuf::from(home).join(".rustup"));
    let mut found: Vec<(u64, std::path::PathBuf)> = Vec::new();
    for root in dirs.into_iter().chain(home) {
        for toolchain in std::fs::read_dir(root.join("toolchains")).into_iter().flatten().flatten()
        {
            for file in
                std::fs::read_dir(toolchain.path().join("lib")).into_iter().flatten().flatten()
            {
                if let Ok(meta) = file.metadata()
                    && meta.is_file()
                {
                    found.push((meta.len(), file.path()));
                }
            }
        }
    }
    found.sort();
    match found.pop() {
        Some((_, path)) => {
            println!("{}", path.display());
            std::fs::read(path).unwrap()
        }
        None => (0..200_000_000_u64).map(|i| (i * i).to_le_bytes()[2]).collect(),
    }
}

/// Processor time of this thread: what other programs take does not count.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap(), u32::try_from(now.tv_nsec).unwrap())
}

/// The shortest of some rounds.
fn best(mut f: impl FnMut()) -> Duration {
    let mut shortest = Duration::MAX;
    for _ in 0..7 {
        let start = cpu();
        f();
        shortest = shortest.min(cpu() - start);
    }
    shortest
}

fn rate(what: &str, bytes: usize, time: Duration) -> f64 {
    let rate = bytes as f64 / time.as_secs_f64() / 1e9;
    println!("  {what:<44} {rate:>7.2} GB/s");
    rate
}

fn parts(bytes: &[u8]) {
    println!("what a fold is made of, one core:");
    let hash_all = || {
        black_box(blake3::hash(bytes));
    };
    rate("blake3 of everything (as b3sum --num-threads 1)", bytes.len(), best(hash_all));
    let tiles = || {
        for (tile, bytes) in (0..).zip(bytes.chunks(TILE)) {
            black_box(hash::tile(tile, bytes));
        }
    };
    rate("blake3 tile by tile", bytes.len(), best(tiles));
    for path in Path::all() {
        let mut out = Vec::with_capacity(TILE / 64);
        let time = best(|| {
            for bytes in bytes.chunks(TILE) {
                out.clear();
                cells::leaves_by(path, bytes, &mut out);
                black_box(&out);
            }
        });
        rate(&format!("leaves, {path:?}"), bytes.len(), time);
    }
    let mut leaves = Vec::new();
    cells::leaves(bytes, &mut leaves);
    let mut above = Vec::with_capacity(leaves.len() / 4 + 1);
    let time = best(|| {
        above.clear();
        cells::parents(&leaves, &mut above);
    });
    rate("means of four cells (of cells)", 4 * leaves.len(), time);
}

fn fold(bytes: &[u8]) {
    println!("cold fold into memory, one core (budget 1.5 GB/s):");
    for (name, payload) in [("reference", Payload::Reference), ("embedded", Payload::Embedded)] {
        let mut grown = 0;
        let time = best(|| {
            let meta = Meta { size: bytes.len() as u64, payload, ..Meta::default() };
            let mut editor = Editor::create(MemStorage::new(), meta).unwrap();
            editor.put(0, bytes).unwrap();
            editor.commit(1).unwrap();
            grown = editor.into_storage().bytes().len();
        });
        rate(&format!("fold, {name} payload"), bytes.len(), time);
        println!(
            "    the brick is {:.2} % of the artifact",
            100.0 * grown as f64 / bytes.len() as f64
        );
    }
}

fn unfold(bytes: &[u8]) {
    let order = 14_u32.min(bytes.len().ilog2() / 2);
    let cells = &bytes[..1 << (2 * order)];
    println!(
        "unfold {} MB to one raster (budget 90 % of memcpy, SSSE3 35 %, portable 15 %):",
        cells.len() >> 20
    );
    let mut raster = Raster::new(cells.len()).unwrap();
    let copy = rate("memcpy", cells.len(), best(|| raster.copy_from_slice(black_box(cells))));
    for path in Path::all() {
        let time = best(|| curve::unfold_by(path, order, 1, black_box(cells), &mut raster));
        let own = rate(&format!("unfold, {path:?}"), cells.len(), time);
        println!("    {:.0} % of memcpy", 100.0 * own / copy);
    }
    let few = &cells[..cells.len() / 16];
    let side = 1_usize << order;
    let time = best(|| {
        for (d, byte) in (0..).zip(few) {
            let (x, y) = fast_hilbert::h2xy::<u32>(d, 16);
            raster[y as usize * side + x as usize] = *byte;
        }
    });
    rate("fast_hilbert, byte by byte", few.len(), time);
}

/// Pages that were written, the rest zero: a brick of a large artifact without its bytes.
#[derive(Default)]
struct Sparse {
    pages: BTreeMap<u64, Box<[u8; 4096]>>,
    len: u64,
    syncs: u64,
}

impl Storage for Sparse {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let within = usize::try_from(at % 4096).unwrap();
            let n = (4096 - within).min(buf.len() - done);
            match self.pages.get(&(at / 4096)) {
                Some(page) => buf[done..done + n].copy_from_slice(&page[within..within + n]),
                None => buf[done..done + n].fill(0),
            }
            done += n;
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let within = usize::try_from(at % 4096).unwrap();
            let n = (4096 - within).min(bytes.len() - done);
            let page = self.pages.entry(at / 4096).or_insert_with(|| Box::new([0; 4096]));
            page[within..within + n].copy_from_slice(&bytes[done..done + n]);
            done += n;
        }
        self.len = self.len.max(offset + bytes.len() as u64);
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> std::io::Result<()> {
        self.len = len;
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.syncs += 1;
        Ok(())
    }
}

/// One tile of a 10 GiB artifact changes, again and again: as the daemon does it, the tile is put and
/// the change committed.
fn change() {
    const SIZE: u64 = 10 << 30;
    const ROUNDS: usize = 40000;
    println!("a 4 KiB change in a 10 GiB artifact (budget 50 us, 64 KiB appended):");
    let meta = Meta { size: SIZE, path: b"/srv/image".to_vec(), ..Meta::default() };
    let mut editor = Editor::create(Sparse::default(), meta).unwrap();
    let mut tile: Vec<u8> = (0..TILE as u64).map(|i| (i * i).to_le_bytes()[1] | 1).collect();
    let start = cpu();
    for offset in (0..SIZE).step_by(TILE) {
        tile[..8].copy_from_slice(&offset.to_le_bytes());
        editor.put(offset, &tile).unwrap();
    }
    editor.commit(1).unwrap();
    println!("  first fold: {:.1} s", (cpu() - start).as_secs_f64());
    let (mut times, mut appended) = (Vec::new(), 0);
    for round in 0..ROUNDS as u64 {
        let offset = (round * 7_919 * TILE as u64) % SIZE;
        tile[..8].copy_from_slice(&(offset ^ round).to_le_bytes());
        tile[100] = tile[100].wrapping_add(1);
        editor.assume_durable();
        let start = cpu();
        editor.put(offset, &tile).unwrap();
        let done = editor.commit(2).unwrap();
        times.push(cpu() - start);
        appended = done.appended_bytes.max(appended);
    }
    times.sort();
    let at = |share: usize| times[(ROUNDS - 1) * share / 100].as_secs_f64() * 1e6;
    println!("  put and commit: p50 {:.1} us, p90 {:.1} us, p99 {:.1} us", at(50), at(90), at(99));
    println!("  appended at most {appended} bytes");
    let mut storage = editor.into_storage();
    let mut times = Vec::new();
    for round in 0..500_u64 {
        tile[100] = tile[100].wrapping_add(1);
        let start = cpu();
        let mut editor = Editor::open_settled(storage).unwrap();
        editor.put((round * 104_729 * TILE as u64) % SIZE, &tile).unwrap();
        editor.commit(3).unwrap();
        storage = editor.into_storage();
        times.push(cpu() - start);
    }
    times.sort();
    println!("  open, put and commit: p50 {:.1} us", times[250].as_secs_f64() * 1e6);
}
