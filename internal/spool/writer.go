package spool

import (
	"github.com/shiftgrant/shiftgrant/redshift"
)

// gcmTag is what sealing adds to a block.
const gcmTag = 16

// writer collects rows to blocks. A block is written when the next row has no place in it, so that
// the last one is known for what it is.
type writer struct {
	st    *statement
	file  *file // nil before the first block
	block []byte
	rows  int64 // in the block
	bytes int64 // of values in the block

	stored int64 // bytes of the partition on disk
}

// writeAll reads rows to their end, or to a limit of the statement, which it names.
func (w *writer) writeAll(rows redshift.Rows) (limit string, err error) {
	var count, bytes int64
	query := w.st.query
	for rows.Next() {
		values := rows.Values()
		size, row := rowSize(values)
		switch { // a row beyond a limit is looked at, so that a result that just fits is not called cut
		case query.MaxRows > 0 && count >= query.MaxRows:
			return "max_rows", nil
		case query.MaxBytes > 0 && bytes+row > query.MaxBytes:
			return "max_bytes", nil
		}
		if w.rows > 0 && int64(len(w.block))+size > int64(w.st.spool.config.BlockSize) {
			if err := w.flush(false); err != nil {
				return "", err
			}
		}
		if w.block == nil {
			w.block = make([]byte, 0, max(int64(w.st.spool.config.BlockSize), size)+gcmTag)
		}
		w.block = appendRow(w.block, values)
		w.rows, w.bytes = w.rows+1, w.bytes+row
		count, bytes = count+1, bytes+row
		w.st.rows.Store(count)
		w.st.bytes.Store(bytes)
	}
	return "", rows.Err()
}

// end writes the last block. A result without rows has none: a statement that wrote, and has
// nothing to tell, must not fail for lack of room.
func (w *writer) end() error {
	if len(w.st.partitions) == 0 {
		w.st.partitions = []partition{{}}
	}
	if w.rows == 0 {
		return nil
	}
	return w.flush(true)
}

func (w *writer) flush(last bool) error {
	size := int64(len(w.block) + gcmTag)
	if err := w.st.spool.reserve(w.st, size); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	if err := w.file.seal(w.block, w.rows, last); err != nil {
		return err
	}
	w.count(size)
	w.st.blocks = len(w.file.blocks)
	w.rows, w.bytes, w.block = 0, 0, w.block[:0]
	if cap(w.block) > 2*w.st.spool.config.BlockSize+gcmTag { // one row was larger than any block should be
		w.block = nil
	}
	return nil
}

// open makes the file when there is something to be put into it.
func (w *writer) open() (err error) {
	if w.file != nil {
		return nil
	}
	spool := w.st.spool
	if w.file, err = create(spool.config.Folder, w.st.id); err != nil {
		return err
	}
	spool.mu.Lock()
	defer spool.mu.Unlock()
	w.st.file = w.file
	return nil
}

// count adds the block that was written to its partition.
func (w *writer) count(size int64) {
	if len(w.st.partitions) == 0 || w.stored+size > w.st.spool.config.PartitionSize {
		w.st.partitions = append(w.st.partitions, partition{first: len(w.file.blocks) - 1})
		w.stored = 0
	}
	current := &w.st.partitions[len(w.st.partitions)-1]
	current.RowCount += w.rows
	current.Bytes += w.bytes
	w.stored += size
}
