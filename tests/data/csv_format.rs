//! Tables however they are written: line ends, quotes, delimiters, marks.

use wgrad::data::Csv;

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
