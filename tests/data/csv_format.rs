//! Tables however they are written: line ends, quotes, delimiters, marks.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use wgrad::data::{Csv, Missing};

use crate::csv::read;

#[test]
fn line_ends_quotes_and_blanks_do_not_count() {
    let expected = read(Csv::values(["y"]), "a,b,y\n1,-2.5,3\n400,5,6\n");
    for table in [
        "a,b,y\r\n1,-2.5,3\r\n400,5,6",
        "a,b,y\r1,-2.5,3\r400,5,6\r",
        "\u{feff}a,b,y\n1,-2.5,3\n400,5,6\n",
        "\u{feff}\"a\",b,y\n1,-2.5,3\n400,5,6\n",
        "a, b, y\n 1 , -2.5, 3\n\n400,5,6\n\n  \n",
        "\"a\",\"b\",\"y\"\n\"1\",-2.5,3\n400,\"5\",6\n",
        "a,  \"b\" , y\n 1, \" -2.5\", 3\n400,5,\"6\" \n",
    ] {
        assert_eq!(read(Csv::values(["y"]), table), expected, "{table:?}");
    }
}

#[test]
fn blanks_before_quotes_do_not_make_another_label() {
    let kinds =
        read(Csv::labels("kind"), "x,kind\n1.4, \"setosa\"\n5.1, virginica\n1.3, setosa\n4.9,\t\"virginica\"\n");
    assert_eq!((kinds.targets(), kinds.class_names().len()), (&[0.0, 1.0, 0.0, 1.0][..], 2));
    let header = "\"Month\", \"1958\", \"up\"\n\"1\",  340, \"no\"\n\"2\",  318, \"yes\"\n";
    assert_eq!(read(Csv::labels("up"), header).inputs(), [1.0, 340.0, 2.0, 318.0]);
}

/// Byte order marks of files that were joined, and characters of no width, as web pages have them.
#[test]
fn invisible_characters_around_values_do_not_count() {
    let table = "a,y\n\u{feff}5,yes\n6\u{200b},yes\u{200b}\n7,\u{2060}no\n8,\"\u{200b}no \"\n";
    let data = read(Csv::labels("y"), table);
    assert_eq!((data.inputs(), data.targets()), (&[5.0, 6.0, 7.0, 8.0][..], &[1.0, 1.0, 0.0, 0.0][..]));
    assert_eq!(data.class_names(), ["no", "yes"]);
}

#[test]
fn delimiters_of_every_kind() {
    let expected = read(Csv::values(["y"]), "a,b,y\n1,-2.5,3\n400,5,6\n");
    let cases = [
        (Csv::values(["y"]).delimiter(b';'), "a;b;y\n1;-2.5;3\n400;5;6\n"),
        (Csv::values(["y"]).delimiter('\t'), "a\tb\ty\n1\t-2.5\t3\n400\t5\t6\n"),
        (Csv::values(["y"]).delimiter(' '), "a b y\n1 -2.5 3\n400 5 6\n"),
        (Csv::values(["y"]), "sep=;\na;b;y\n1;-2.5;3\n400;5;6\n"),
        (Csv::values(["y"]), "\u{feff}SEP=\t\r\na\tb\ty\r\n1\t-2.5\t3\r\n400\t5\t6\r\n"),
        (Csv::values(["y"]).whitespace(), "  a \t b   y  \n1   -2.5\t\t3\n400  5   6"),
        (Csv::values([2]).whitespace().header(false), "1   -2.5\t\t3\n   400  5   6\n"),
    ];
    for (csv, table) in cases {
        assert_eq!(read(csv, table), expected, "{table:?}");
    }
    // Two tabs in a row are one missing value, unless blanks come in runs.
    let seeds = "15.26\t14.84\t0.871\t1\n14.88\t14.57\t\t0.8811\t1\n11.23\t12.63\t0.884\t2\n";
    assert_eq!(read(Csv::labels(3).whitespace(), seeds).len(), 3);
    let error = Csv::labels(3).delimiter('\t').header(false).read_from(seeds.as_bytes()).unwrap_err().to_string();
    assert!(
        error.starts_with("csv: line 2: 5 values, but line 1 has 4; ") && error.contains("call whitespace()"),
        "{error}"
    );
}

#[test]
fn numbers_as_other_countries_write_them() {
    // pandas.read_csv(sep=";", decimal=",", thousands="."): 7.4, 1234.5 and 11.2, 12500.
    let table = "a;b;y\n7,4;1.234,5;0\n11,2;12.500;1\n";
    let commas = Csv::values(["y"]).delimiter(';').decimal(b',').thousands('.');
    assert_eq!(read(commas, table).inputs(), [7.4, 1234.5, 11.2, 12_500.0]);
    let thousands = "a,y\n\"1,234\",2\n\"12,500\",3\n\"980\",4\n";
    assert_eq!(read(Csv::values(["y"]).thousands(b','), thousands).inputs(), [1234.0, 12_500.0, 980.0]);
    // A decimal point where a point separates thousands is not 74.
    let mixed = Csv::values(["y"]).delimiter(';').decimal(',').thousands('.');
    assert!(mixed.read_from("a;y\n7.4;1\n".as_bytes()).is_err());
    let error = |csv: Csv, table: &str| csv.read_from(table.as_bytes()).unwrap_err().to_string();
    let start = "csv: line 2, column 'a': '";
    assert_eq!(
        error(Csv::values(["y"]).delimiter(';'), "a;y\n7,4;1\n"),
        format!("{start}7,4' is not a number; if the comma marks decimals, call decimal(',')")
    );
    assert_eq!(
        error(Csv::values(["y"]), "a,y\n\"1,234,567\",1\n"),
        format!("{start}1,234,567' is not a number; if commas separate thousands, call thousands(',')")
    );
    assert_eq!(
        error(Csv::values(["y"]), "a,y\n\"1,234\",1\n"),
        format!("{start}1,234' is not a number; call decimal(',') or thousands(','), whichever the comma is")
    );
    assert_eq!(
        error(Csv::values(["y"]).delimiter(';'), "a;y\n1.234,5;1\n"),
        format!("{start}1.234,5' is not a number; if commas mark decimals, call decimal(',') and thousands('.')")
    );
    assert_eq!(
        error(Csv::values(["y"]).delimiter(';').decimal(','), "a;y\n7.4;1\n"),
        format!("{start}7.4' is not a number; the decimal mark was set to ','; call decimal('.')")
    );
}

#[test]
fn comments_and_truth_values() {
    // Behind values as in pandas; comments may be indented, too.
    let commented = read(Csv::values(["b"]).comment(b'#'), "# c\na,b\n1,2 # t\n  # more\n3,4\n");
    assert_eq!((commented.inputs(), commented.targets()), (&[1.0, 3.0][..], &[2.0, 4.0][..]));
    let truths = read(Csv::values(["b"]), "a,b\r1,True\r2,FALSE\r0,true\r");
    assert_eq!(truths.targets(), [1.0, 0.0, 1.0]);
}

/// Draws a number below `n`.
fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    rng.random_range(0..n)
}

/// A field as a program might write it, and blanks around it.
fn written(rng: &mut ChaCha8Rng, value: &str, delimiter: char) -> String {
    let must = value.contains([delimiter, '"', '\n', '\r', '#', ' ']) || value.is_empty();
    let quoted = if must || below(rng, 4) == 0 { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.into() };
    let blanks = ["", "", " ", "  "];
    format!("{}{quoted}{}", blanks[below(rng, 4)], blanks[below(rng, 4)])
}

#[test]
fn tables_written_at_random_read_back() {
    const LABELS: [&str; 6] = ["a", "b, c", "d \"e\"", "f\ng", "#h;", "1\t2"];
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let delimiter = [',', ';', '\t', '|'][below(&mut rng, 4)];
        let end = ["\n", "\r\n", "\r"][below(&mut rng, 3)];
        let mut table =
            String::from(["", "\u{feff}"][below(&mut rng, 2)]) + "x" + &delimiter.to_string() + "label" + end;
        let (mut values, mut labels, mut lines) = (Vec::new(), Vec::new(), 1);
        for _ in 0..1 + below(&mut rng, 20) {
            if below(&mut rng, 5) == 0 {
                let line = ["", "  ", "# a \"comment, and more"][below(&mut rng, 3)];
                table += &format!("{line}{end}");
                lines += 1;
            }
            values.push(rng.random_range(-1e3f32..1e3));
            labels.push(LABELS[below(&mut rng, LABELS.len())]);
            let number = format!("{:?}", values[values.len() - 1]);
            let label = labels[labels.len() - 1].replace('\n', end);
            let number = written(&mut rng, &number, delimiter);
            table += &format!("{number}{delimiter}{}{end}", written(&mut rng, &label, delimiter));
            lines += 1 + usize::from(label.contains(end));
        }
        let csv = Csv::labels("label").delimiter(delimiter).comment('#');
        let data = read(csv.clone(), &table);
        assert_eq!(data.inputs(), values, "{table:?}");
        let found = data.targets().iter().map(|class| data.class_names()[*class as usize].replace(end, "\n"));
        assert_eq!(found.collect::<Vec<_>>(), labels, "{table:?}");
        let error = csv.read_from(format!("{table}oops{delimiter}a").as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("csv: line {}, column 'x': 'oops'", lines + 1)), "{error} in {table:?}");
    }
}

#[test]
fn no_text_makes_it_panic() {
    const PIECES: [&str; 16] =
        ["\"", "\"\"", ",", ";", "\t", "\n", "\r", "\r\n", " ", "1", "é,", "1,234", "NA", "#", "\u{feff}", "sep=;\n"];
    for seed in 0..3000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let table: String = (0..below(&mut rng, 30)).map(|_| PIECES[below(&mut rng, PIECES.len())]).collect();
        let csv = if seed % 2 == 0 { Csv::labels(0) } else { Csv::values([0]) };
        for csv in [
            csv.clone(),
            csv.clone().whitespace().header(false).comment('#'),
            csv.clone().delimiter(';').decimal(',').thousands('.').missing(Missing::DropRow).header(true),
            csv.na_values(["1"]).thousands(',').subtract(1, 1.0),
        ] {
            let _ = csv.read_from(table.as_bytes());
        }
    }
}
