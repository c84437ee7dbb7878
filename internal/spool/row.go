package spool

import (
	"encoding/binary"
	"errors"
)

// A row is its values one after the other: the length of the value and one, as a varint, then its
// bytes. 0 stands for NULL. How many values a row has, the columns say.

var errRow = errors.New("a row of the spool is damaged")

func appendRow(block []byte, values [][]byte) []byte {
	for _, value := range values {
		if value == nil {
			block = append(block, 0)
			continue
		}
		block = binary.AppendUvarint(block, uint64(len(value))+1)
		block = append(block, value...)
	}
	return block
}

// rowSize is how many bytes a row has at most.
func rowSize(values [][]byte) (size, value int64) {
	for _, v := range values {
		value += int64(len(v))
	}
	return value + int64(len(values))*binary.MaxVarintLen64, value
}

// readRow takes a row from the front of a block. Its values are slices of the block.
func readRow(block []byte, values [][]byte) (rest []byte, err error) {
	for i := range values {
		length, n := binary.Uvarint(block)
		if n <= 0 {
			return nil, errRow
		}
		block = block[n:]
		if length == 0 {
			values[i] = nil
			continue
		}
		length--
		if length > uint64(len(block)) {
			return nil, errRow
		}
		values[i] = block[:length:length]
		block = block[length:]
	}
	return block, nil
}
