//! IDX files, plain, packed, damaged and hostile.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use wgrad::ErrorKind;
use wgrad::data::idx;

use crate::file;

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An IDX file of this type.
fn idx_bytes(kind: u8, dimensions: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(data);
    bytes
}

#[test]
fn idx_files_are_read_plain_and_packed() {
    let images = idx_bytes(0x08, &[2, 2, 3], &[0, 51, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let labels = idx_bytes(0x08, &[2], &[7, 0]);
    let plain = idx(file("images", &images), file("labels", &labels)).unwrap();
    assert_eq!((plain.len(), plain.input_cols(), plain.targets()), (2, 6, &[7.0, 0.0][..]));
    assert_eq!(plain.inputs()[..4], [0.0, 0.2, 1.0, 1.0 / 255.0]);
    let from_gz = idx(file("images.gz", &packed(&images)), file("labels.gz", &packed(&labels))).unwrap();
    assert_eq!(from_gz, plain);

    // The other types, big-endian and not scaled.
    let cases: [(u8, Vec<u8>); 5] = [
        (0x09, vec![(-3i8) as u8, 100]),
        (0x0b, [-3i16, 100].iter().flat_map(|v| v.to_be_bytes()).collect()),
        (0x0c, [-3i32, 100].iter().flat_map(|v| v.to_be_bytes()).collect()),
        (0x0d, [-3f32, 100.0].iter().flat_map(|v| v.to_be_bytes()).collect()),
        (0x0e, [-3f64, 100.0].iter().flat_map(|v| v.to_be_bytes()).collect()),
    ];
    for (kind, data) in cases {
        let path = file(&format!("type-{kind}"), &idx_bytes(kind, &[2, 1], &data));
        assert_eq!(idx(path, file("labels-of-types", &labels)).unwrap().inputs(), [-3.0, 100.0], "{kind:#x}");
    }
}

#[test]
fn damaged_idx_files_are_refused() {
    let labels = file("good-labels", &idx_bytes(0x08, &[2], &[1, 0]));
    let images = idx_bytes(0x08, &[2, 2], &[1, 2, 3, 4]);
    let refused = |name: &str, bytes: &[u8]| idx(file(name, bytes), &labels).unwrap_err().to_string();
    for len in 0..images.len() {
        assert!(refused("short", &images[..len]).contains("is truncated"), "{len}");
    }
    let mut long = images.clone();
    long.push(0);
    assert!(refused("long", &long).contains("continues past"));
    let half_packed = packed(&images);
    assert!(refused("half.gz", &half_packed[..half_packed.len() - 9]).contains("is truncated"));
    assert!(refused("text", b"sepal,petal\n").contains("no IDX file"));
    assert!(refused("type", &idx_bytes(0x07, &[2], &[1, 2])).contains("0x07"));
    // A header that promises more than there can be takes no memory.
    assert!(refused("huge", &idx_bytes(0x0e, &[u32::MAX; 3], &[])).contains("a dataset holds at most"));
    assert!(refused("large", &idx_bytes(0x08, &[1 << 20, 500], &[1])).contains("is truncated"));
    // Sizes whose product, or the product of whose last ones, does not fit a usize.
    for sizes in [[0, 65536, 65536, 65536, 65536], [65536; 5], [u32::MAX; 5]] {
        let refused = refused("product", &idx_bytes(0x08, &sizes, &[]));
        assert!(refused.contains("dimensions"), "{refused}");
    }
    let twins = idx_bytes(0x08, &[1 << 14, 1 << 17], &[]);
    assert!(refused("most", &twins).contains("is truncated"));
    assert!(refused("empty", &idx_bytes(0x08, &[0, 2], &[])).contains("there is nothing in it"));
    let images = file("good-images", &images);
    let swapped = idx(&labels, &images).unwrap_err();
    assert!(swapped.to_string().contains("swapped"), "{swapped}");
    let three = file("three-labels", &idx_bytes(0x08, &[3], &[1, 0, 1]));
    assert_eq!(idx(&images, three).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(idx("no such file", &labels).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn labels_of_two_dimensions() {
    let images = file("three-images", &idx_bytes(0x08, &[3, 2], &[1, 2, 3, 4, 5, 6]));
    let targets = |name: &str, bytes: &[u8]| idx(&images, file(name, bytes)).map(|data| data.targets().to_vec());
    assert_eq!(targets("n1", &idx_bytes(0x08, &[3, 1], &[0, 1, 1])).unwrap(), [0.0, 1.0, 1.0]);
    // QMNIST's columns: class, NIST's partition, writer, ...
    let row = |class: i32| [class, 4, 2103, 12, 7, 100, 0, 0];
    let qmnist: Vec<u8> = [7, 2, 1].into_iter().flat_map(row).flat_map(i32::to_be_bytes).collect();
    assert_eq!(targets("qmnist", &idx_bytes(0x0c, &[3, 8], &qmnist)).unwrap(), [7.0, 2.0, 1.0]);
    for (kind, cols, len) in [(0x08, 8, 24), (0x08, 2, 6), (0x0c, 3, 36)] {
        let refused = targets("wide", &idx_bytes(kind, &[3, cols], &vec![0; len])).unwrap_err();
        assert!(refused.to_string().contains("swapped"), "{refused}");
    }
    let four = targets("four-labels", &idx_bytes(0x08, &[4], &[0; 4])).unwrap_err().to_string();
    assert!(four.starts_with("idx: 3 images in ") && four.contains("and 4 labels in "), "{four}");
}

#[test]
fn gzip_members_and_padding_are_read() {
    let labels = file("two-labels", &idx_bytes(0x08, &[2], &[1, 0]));
    let images = idx_bytes(0x08, &[2, 2], &[0, 51, 255, 102]);
    let plain = idx(file("plain", &images), &labels).unwrap();
    let (first, rest) = images.split_at(9);
    let members = [packed(first), packed(rest)];
    let zeros = vec![0; 1000];
    for (name, parts) in [
        ("members", vec![&members[0], &members[1]]),
        ("padded", vec![&members[0], &members[1], &zeros]),
        ("apart", vec![&members[0], &zeros, &members[1], &zeros]),
    ] {
        let bytes: Vec<u8> = parts.into_iter().flatten().copied().collect();
        assert_eq!(idx(file(name, &bytes), &labels).unwrap(), plain, "{name}");
    }
    let mut trailed = packed(&images);
    trailed.extend(b"garbage");
    let refused = idx(file("trailed", &trailed), &labels).unwrap_err().to_string();
    assert!(refused.contains("is not gzip"), "{refused}");
    // A wrong checksum, which stands behind the last value.
    let mut wrong = packed(&images);
    let at = wrong.len() - 8;
    wrong[at] ^= 1;
    assert_eq!(idx(file("checksum", &wrong), &labels).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn packed_files_take_no_more_memory_than_their_size_allows() {
    let labels = file("one-label", &idx_bytes(0x08, &[1], &[1]));
    let refused = |name: &str, bytes: &[u8]| idx(file(name, bytes), &labels).unwrap_err().to_string();
    // More than deflate can give of so few bytes.
    let lie = packed(&idx_bytes(0x08, &[1 << 10, 1 << 20], &[]));
    assert!(refused("lie", &lie).contains("is truncated"), "{}", refused("lie", &lie));
    // A gigabyte from four megabytes, as only a trap is packed.
    let mut trap = packed(&idx_bytes(0x08, &[1 << 10, 1 << 20], &[]));
    trap.resize(4 << 20, 0);
    assert!(
        refused("trap", &trap).contains("looks like a trap; if it is none, decompress it"),
        "{}",
        refused("trap", &trap)
    );
    // More behind the last value than the header says.
    let more = packed(&idx_bytes(0x08, &[1, 2], &vec![0; 1 << 20]));
    assert!(refused("more", &more).contains("continues past"), "{}", refused("more", &more));
}
