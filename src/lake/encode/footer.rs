//! The footer of a Parquet file, with the column orders that every reader knows.
//!
//! `parquet` writes the column order `IEEE_754_TOTAL_ORDER` for floating-point columns and has no property to change
//! it. Readers with an older Thrift definition (polars before 2, and others) reject the whole file. So the last bytes
//! of a file are buffered, and its column orders are replaced by `TYPE_ORDER`, which every version of the format has
//! and which has the same length. [`statistics`] follows the rules of that order. The rejected alternative was to
//! write the footer's Thrift here: a copy of a thousand lines of the library to change one byte per column.

use std::io::{self, Write};
use std::mem;

use parquet::errors::Result;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::broken;

/// A writer that passes bytes on to `W` until [`Footer::buffer`], and then buffers the footer.
pub(super) struct Footer<W> {
    into: W,
    /// The last bytes of the file; `None` until the last row group is written.
    buffered: Option<Vec<u8>>,
}

impl<W: Write> Footer<W> {
    pub(super) fn new(into: W) -> Footer<W> {
        Footer { into, buffered: None }
    }

    /// Buffers all bytes from now on, until [`Footer::write_out`].
    pub(super) fn buffer(&mut self) {
        self.buffered.get_or_insert_default();
    }

    /// Writes the buffered bytes, which end with the footer of a file of `columns` columns.
    /// Errors if the footer does not end as expected, or if `W` fails.
    pub(super) fn write_out(&mut self, columns: usize) -> Result<()> {
        let mut buffered = mem::take(&mut self.buffered).unwrap_or_default();
        use_type_orders(&mut buffered, columns)?;
        self.into.write_all(&buffered)?;
        Ok(())
    }

    pub(super) fn inner_mut(&mut self) -> &mut W {
        &mut self.into
    }
}

impl<W: Write> Write for Footer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.buffered {
            Some(buffered) => buffered.write(bytes),
            None => self.into.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

/// Bytes at the end of a file: the length of the footer and the magic number.
const END: usize = 8;
/// Bytes of one column order, a Thrift union: the header of its field, the end of an empty struct, the end of the union.
const ORDER: usize = 3;
const TYPE_ORDER: [u8; ORDER] = [0x1c, 0, 0];
const IEEE_754_TOTAL_ORDER: [u8; ORDER] = [0x2c, 0, 0];
/// The header of the list of column orders: field 7, after `created_by`, field 6. It is the last field of a footer
/// without encryption.
const NEXT_LIST: u8 = 0x19;

/// Replaces the column orders of floating-point columns in place.
/// Errors if the footer does not end with one known order per column, as after an update of the library could be.
fn use_type_orders(footer: &mut [u8], columns: usize) -> Result<()> {
    let unknown = || broken("the footer does not end with the orders of its columns");
    // The byte before is the end of the footer's struct.
    let end = footer.len().checked_sub(END + 1).ok_or_else(unknown)?;
    let begin = columns.checked_mul(ORDER).and_then(|size| end.checked_sub(size)).ok_or_else(unknown)?;
    let (before, rest) = footer.split_at_mut(begin);
    let (orders, rest) = rest.split_at_mut(end - begin);
    if !before.ends_with(&list_of_structs(columns)) || rest.first() != Some(&0) {
        return Err(unknown());
    }
    for order in orders.chunks_exact_mut(ORDER) {
        if order == IEEE_754_TOTAL_ORDER {
            order.copy_from_slice(&TYPE_ORDER);
        } else if order != TYPE_ORDER {
            return Err(unknown());
        }
    }
    Ok(())
}

/// Returns the header of a list of `size` structs in Thrift's compact form.
fn list_of_structs(mut size: usize) -> Vec<u8> {
    const STRUCT: u8 = 0x0c;
    const LONG: usize = 15;
    if size < LONG {
        return vec![NEXT_LIST, (size as u8) << 4 | STRUCT];
    }
    let mut bytes = vec![NEXT_LIST, (LONG as u8) << 4 | STRUCT];
    while size >= 0x80 {
        bytes.push((size as u8) | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
    bytes
}

/// Returns the statistics of a column by the rules of `TYPE_ORDER`: no floating-point bound is NaN, a bound of zero
/// covers both zeros, and there is no count of NaN.
pub(super) fn statistics(written: &Statistics) -> Statistics {
    let Statistics::Double(double) = written else { return written.clone() };
    let bounds = double.min_opt().zip(double.max_opt()).filter(|(min, max)| !min.is_nan() && !max.is_nan());
    let min = bounds.map(|(min, _)| if *min == 0.0 { -0.0 } else { *min });
    let max = bounds.map(|(_, max)| if *max == 0.0 { 0.0 } else { *max });
    Statistics::Double(ValueStatistics::new(min, max, None, double.null_count_opt(), false))
}

#[cfg(test)]
mod tests {
    use std::mem;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
    use parquet::basic::ColumnOrder;
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::properties::WriterProperties;
    use proptest::prelude::*;

    use super::super::{Alike, Encoder};
    use super::*;

    fn file_of(rows: &RecordBatch) -> Bytes {
        let alike = Alike::none(rows.schema_ref());
        let mut encoder = Encoder::new(Vec::new(), rows.schema_ref(), WriterProperties::default(), alike).unwrap();
        encoder.write(rows).unwrap();
        let size = encoder.finish().unwrap();
        let bytes = mem::take(encoder.sink());
        assert_eq!(bytes.len() as u64, size);
        bytes.into()
    }

    /// One column a member: floating-point numbers where it says so, else whole numbers.
    fn rows(floating: &[bool], values: &[f64]) -> RecordBatch {
        let column = |floating: &bool| -> ArrayRef {
            match floating {
                true => Arc::new(Float64Array::from_iter_values(values.iter().copied())),
                false => Arc::new(Int64Array::from_iter_values(0..values.len() as i64)),
            }
        };
        let columns = floating.iter().enumerate().map(|(index, floating)| (format!("c{index}"), column(floating)));
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, values)| (name, values, true))).unwrap()
    }

    fn said_of(values: &[f64]) -> Statistics {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file_of(&rows(&[true], values))).unwrap();
        reader.metadata().row_group(0).column(0).statistics().unwrap().clone()
    }

    proptest! {
        #[test]
        fn every_column_has_the_type_order(floating in prop::collection::vec(any::<bool>(), 1..200), many in 0_usize..40) {
            let rows = rows(&floating, &vec![1.5; many]);
            let reader = ParquetRecordBatchReaderBuilder::try_new(file_of(&rows)).unwrap();
            let orders = reader.metadata().file_metadata().column_orders().unwrap().clone();
            prop_assert_eq!(orders.len(), floating.len());
            prop_assert!(orders.iter().all(|order| matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(_))), "{:?}", orders);
            let read: Vec<RecordBatch> = reader.build().unwrap().map(std::result::Result::unwrap).collect();
            prop_assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), many);
            prop_assert!(read.iter().all(|read| read.columns() == rows.slice(0, read.num_rows()).columns()));
        }

        #[test]
        fn bounds_cover_all_values_by_the_type_order(values in prop::collection::vec(prop::num::f64::ANY, 1..50)) {
            let Statistics::Double(said) = said_of(&values) else { unreachable!("a double") };
            prop_assert_eq!(said.nan_count_opt(), None);
            let numbers: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
            prop_assert_eq!(said.min_opt().is_some(), !numbers.is_empty());
            for bound in said.min_opt().into_iter().chain(said.max_opt()) {
                prop_assert!(!bound.is_nan());
            }
            for value in numbers {
                // `total_cmp` also tells zeros apart.
                prop_assert!(said.min_opt().is_some_and(|min| min.total_cmp(&value).is_le()));
                prop_assert!(said.max_opt().is_some_and(|max| max.total_cmp(&value).is_ge()));
            }
        }
    }

    #[test]
    fn a_bound_of_zero_covers_both_zeros() {
        for values in [[0.0, 0.0], [-0.0, -0.0], [0.0, -0.0]] {
            let Statistics::Double(said) = said_of(&values) else { unreachable!("a double") };
            let bits = |bound: Option<&f64>| bound.map(|bound| bound.to_bits());
            assert_eq!(bits(said.min_opt()), Some((-0.0_f64).to_bits()));
            assert_eq!(bits(said.max_opt()), Some(0.0_f64.to_bits()));
        }
    }

    #[test]
    fn a_file_with_an_index_of_pages_is_read_by_it() {
        let values: Vec<f64> = (0..50_000).map(f64::from).collect();
        let rows = rows(&[true, false], &values);
        let file = file_of(&rows);
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = ArrowReaderMetadata::load(&file, options).unwrap();
        assert!(metadata.metadata().page_index().is_some());
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata).build().unwrap();
        let read: Vec<RecordBatch> = reader.map(std::result::Result::unwrap).collect();
        assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 50_000);
    }

    #[test]
    fn a_footer_of_another_make_is_an_error() {
        let file = file_of(&rows(&[true, false], &[1.0]));
        let end = file.len() - END - 1;
        let changed = |at: usize, byte: u8| {
            let mut file = file.to_vec();
            file[at] = byte;
            file
        };
        assert!(use_type_orders(&mut file.to_vec(), 2).is_ok());
        assert!(use_type_orders(&mut file.to_vec(), 1).is_err());
        assert!(use_type_orders(&mut file.to_vec(), 3).is_err());
        assert!(use_type_orders(&mut file.to_vec(), usize::MAX).is_err());
        assert!(use_type_orders(&mut [], 2).is_err());
        for (at, byte) in [(end, 1), (end - 1, 1), (end - 3, 0x4c), (end - 7, 0x3c), (end - 8, 0x29)] {
            assert!(use_type_orders(&mut changed(at, byte), 2).is_err(), "{byte:#x} at {at}");
        }
    }
}
