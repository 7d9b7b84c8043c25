//! What is refused of tables, where it says the fault is, and the way out that it names.

use wgrad::ErrorKind;
use wgrad::data::Csv;

fn error(csv: &Csv, table: &str) -> String {
    let error = csv.read_from(table.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    error.to_string().strip_prefix("csv: ").unwrap().into()
}

fn y() -> Csv {
    Csv::values(["y"])
}

const WRONG: &str = "correct it, remove the row, or leave the column out with ignore(...)";

#[test]
fn faults_are_told_with_their_line_and_column() {
    assert_eq!(error(&y(), "a,y\n1,2\n1,2\n1,two\n"), format!("line 4, column 'y': 'two' is not a number; {WRONG}"));
    for end in ["\n", "\r\n", "\r"] {
        // Blank lines and line breaks within quotes count as an editor counts them.
        let table = "a,y\n\n1,2\n\n\n1,2,3\n".replace('\n', end);
        assert_eq!(error(&y(), &table), "line 6: 3 values, but line 1 has 2; correct or remove the row");
        let quoted = "id,a,y\n\"two\nlines\",1,2\nx,b,2\n".replace('\n', end);
        assert_eq!(error(&y().ignore(["id"]), &quoted), format!("line 4, column 'a': 'b' is not a number; {WRONG}"));
        let below = "sep=;\na;y\n1;b\n".replace('\n', end);
        assert_eq!(error(&y(), &below), format!("line 3, column 'y': 'b' is not a number; {WRONG}"));
    }
    assert_eq!(
        error(&y(), "a,y\n1,2\n1e39,2\n"),
        "line 3, column 'a': '1e39' is infinite as an f32; correct it, or give the column in another unit"
    );
    assert_eq!(error(&y(), "a,y\ninf,2\n"), "line 2, column 'a': 'inf' is infinite; correct it or remove the row");
    assert_eq!(
        error(&Csv::labels(1).header(false), "1,a\n2,\n"),
        "line 2, column 1: the label is missing; fill it in, leave out such rows with missing(Missing::DropRow)"
    );
    assert_eq!(
        error(&Csv::labels("kind").classes(["wolf", "dog"]), "x,kind\n1,dog\n2,fox\n"),
        "line 3: the label 'fox' is not among the classes wolf, dog"
    );
    assert!(error(&Csv::labels("kind").classes(["1", "1.0"]), "x,kind\n1,1\n").contains("given twice"));
    assert_eq!(
        error(&Csv::labels("width"), "x,width\n1,2\n2,1.4\n"),
        "line 3: the label '1.4' is a fraction, so this looks like a column of measurements: numbers to predict are read \
         with Csv::values; if these are classes, list them with classes(...)"
    );
    let latin = Csv::values(["y"]).read_from(&b"a,y\r1,2\r\xe9,2\r"[..]).unwrap_err();
    assert!(
        latin.to_string().starts_with("csv: line 3: the byte 0xe9 is not UTF-8; save the table as UTF-8"),
        "{latin}"
    );
}

#[test]
fn values_that_are_nearly_numbers_are_told_with_what_is_in_the_way() {
    let cases = [
        ("12%", "remove \"%\" from the column's values"),
        ("$1.50", "remove \"$\" from the column's values"),
        ("7 kg", "remove \" kg\" from the column's values"),
        ("\u{2212}12.5", "it has the character U+2212, which only looks like '-'"),
        ("\u{ff15}", "it has the character U+FF15"),
        ("1'234.5", "if '\\'' separates thousands, call thousands('\\'')"),
        ("1 234", "if ' ' separates thousands, call thousands(' ')"),
        ("1\u{202f}234", "if '\\u{202f}' separates thousands, call thousands('\\u{202f}')"),
        ("1_234", "if '_' separates thousands, call thousands('_')"),
        ("2026-11-26", WRONG),
        ("abc", WRONG),
    ];
    for (value, way_out) in cases {
        let message = error(&y(), &format!("a,y\n{value},1\n"));
        assert!(message.starts_with(&format!("line 2, column 'a': '{value}' is not a number; ")), "{message}");
        assert!(message.contains(way_out), "{message}");
    }
}

/// pandas' `to_csv` and R's `write.csv` write the numbers of the rows in front, from which a network learns by heart.
#[test]
fn a_column_without_a_name_is_no_input() {
    let expected = "column 0 has no name (pandas and R write row numbers like that); leave it out with ignore([0]), or \
                    give it a name";
    for table in [",a,y\n0,5,1\n1,6,2\n", "\"\",a,y\n1,5,1\n2,6,2\n"] {
        assert_eq!(error(&y(), table), expected);
        assert_eq!(error(&Csv::labels(2).header(true), table), expected);
        let data = y().ignore([0]).read_from(table.as_bytes()).unwrap();
        assert_eq!((data.inputs(), data.targets()), (&[5.0, 6.0][..], &[1.0, 2.0][..]));
    }
    assert!(error(&y(), "a,y,\n5,1,\n").starts_with("column 2 has no name"));
}

#[test]
fn quotes_that_never_close_are_found_where_they_open() {
    let open = "a quote opens here and is never closed; close it, or remove it if it is part of the value";
    // pandas: EOF inside string.
    let ignored = "a,y,note\n1,10,fine\n2,20,\"looks odd\n3,30,fine\n4,40,fine\n5,50,fine\n";
    assert_eq!(error(&y().ignore(["note"]), ignored), format!("line 3: {open}"));
    let label = "a,b,class\n1,2,\"yes\n2,1,no\n3,1,yes\n4,2,no\n";
    assert_eq!(error(&Csv::labels("class"), label), format!("line 2: {open}"));
    let middle = "a,note,y\n1,fine,10\n2,\"looks odd,20\n3,fine,30\n4,fine,40\n";
    assert_eq!(error(&y().ignore(["note"]), middle), format!("line 3: {open}"));
    // Another quote further down seems to close it.
    let twice = "a,note,y\n1,\"odd,10\n2,fine,20\n3,\"odd,30\n";
    assert_eq!(
        error(&y().ignore(["note"]), twice),
        "line 2: a quote opens here and closes before 'odd,30' in line 4; write quotes that are part of a value twice"
    );
    assert!(error(&y(), "\"a,y\n1,2\n").starts_with("line 1: "));
}

#[test]
fn tables_and_columns_that_do_not_fit_are_refused() {
    assert_eq!(error(&y(), ""), "the table is empty; give at least one row");
    assert_eq!(error(&y(), "a,y\n"), "there is no row below the header; give at least one");
    assert_eq!(error(&y(), "a,z\n1,2\n"), "there is no column 'y'; there are a, z");
    assert_eq!(error(&y(), "a,y,y\n1,2,3\n"), "there are several columns 'y'; give the column's number");
    assert_eq!(error(&Csv::values([5]), "a,y\n1,2\n"), "there is no column 5; there are 2, from 0");
    assert_eq!(error(&y(), "y\n1\n"), "no column is left for the inputs; ignore fewer");
    assert_eq!(error(&y().ignore(["y"]), "a,y\n1,2\n"), "column 'y' is selected twice; remove one");
    assert_eq!(error(&y().header(false), "1,2\n"), "column 'y': without a header, columns go by number");
    assert_eq!(
        error(&y(), "1,2\n3,4\n"),
        "there is no column 'y'; there are 1, 2. If line 1 is no header but the first sample, give columns by number, and call \
         header(false)"
    );
    let none = "no column of targets is asked for; give at least one (Csv::values, Csv::labels)";
    assert_eq!(error(&Csv::values([""; 0]), "a\n1\n"), none);
    let nowhere = Csv::labels("y").read("no such file.csv").unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::Io);
    assert!(nowhere.to_string().starts_with("csv: no such file.csv can't be read"), "{nowhere}");
    for (path, hint) in [
        ("https://example.com/iris.csv", "it is a web address; give the path of a file"),
        ("~/iris.csv", "only a shell replaces ~; give the whole path"),
        ("", "the path is empty"),
        (env!("CARGO_MANIFEST_DIR"), "it is a folder"),
    ] {
        let error = Csv::labels("y").read(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains(hint), "{error}");
    }
    for (csv, call) in [
        (y().decimal('"'), "decimal"),
        (y().decimal('-'), "decimal"),
        (y().comment(';').delimiter(';'), "comment"),
        (y().thousands('.'), "both"),
    ] {
        assert!(error(&csv, "a,y\n1,2\n").contains(call));
    }
}

#[test]
fn another_delimiter_is_recognised() {
    let cases = [
        ("acidity;sugar;y\n7.4;1.9;5\n", "delimiter(';')"),
        ("acidity\tsugar\ty\n7.4\t1.9\t5\n", "delimiter('\\t')"),
        ("acidity|sugar|y\n7.4|1.9|5\n", "delimiter('|')"),
        ("acidity   sugar y\n7.4 1.9 5\n", "whitespace()"),
    ];
    for (table, call) in cases {
        for csv in [y(), Csv::values([2]), Csv::labels("y")] {
            let message = error(&csv, table);
            assert!(message.ends_with(&format!(": call {call}")), "{message}");
        }
    }
    // A decimal comma parts the first line, too.
    assert!(error(&Csv::values([2]).header(false), "7,4;1,9;5\n").ends_with("call delimiter(';')"));
    assert!(error(&y(), "# measured in May\na,y\n1,2\n").ends_with("call comment('#')"));
    assert!(error(&y().thousands('.'), "a,y\n1.234,2\n").ends_with("decimal(',')"));
    assert!(error(&y().delimiter(';'), "a,b,y\n1,2,3\n").ends_with("call delimiter(',')"));
    assert!(error(&Csv::values([0]), "a;b\n1;2\n").ends_with("call delimiter(';')"));
}

#[test]
fn files_that_are_no_tables_are_told_by_their_first_bytes() {
    let cases: [(&[u8], &str); 21] = [
        (b"{\\rtf1\\ansi a,y\\par 1,2}", "RTF"),
        (b"@RELATION iris\n@ATTRIBUTE a NUMERIC\n@DATA\n1,2\n", "ARFF"),
        (b"% comment\n@relation iris\n", "ARFF"),
        (b"<table><tr><td>1</td>", "web page"),
        (b"\x04\x22\x4d\x18abc", "lz4"),
        (b"Rar!\x1a\x07\0abc", "RAR"),
        (b"\x1f\x9d\x90abc", "uncompress"),
        (b"\x1f\x8b\x08\0\0", "gunzip"),
        (b"PK\x03\x04\x14\0", "save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "save the sheet as CSV"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PAR1\x15\x04", "read_parquet"),
        (b"  <!DOCTYPE html><html>", "web page"),
        (b"\n<HTML><head>", "web page"),
        (b"<?xml version=\"1.0\"?>", "XML"),
        (b"[{\"a\": 1}]", "JSON"),
        (b"\xff\xfea\0,\0y\0", "UTF-16"),
        (b"\xfe\xff\0a\0,\0y", "UTF-16"),
        (b"a\0,\0y\0\n\0", "UTF-16"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"BZh91AY&SY", "bunzip2"),
    ];
    for (bytes, says) in cases {
        let error = y().read_from(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(says), "{error}");
    }
}
