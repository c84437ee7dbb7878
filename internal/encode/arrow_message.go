package encode

import (
	"encoding/binary"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// The messages of an Arrow IPC stream (arrow.apache.org/docs/format/Columnar.html): a mark, the
// length of a flatbuffer, the flatbuffer, and a body. The numbers of fields are those of
// Schema.fbs and Message.fbs.

const (
	metadataV5        = 4
	headerSchema      = 1
	headerRecordBatch = 3
	alignment         = 8

	typeInt       = 2
	typeFloat     = 3
	typeBinary    = 4
	typeUtf8      = 5
	typeBool      = 6
	typeDecimal   = 7
	typeDate      = 8
	typeTime      = 9
	typeTimestamp = 10

	unitDay         = 0
	unitMicrosecond = 2
	single          = 1
	double          = 2
)

// schemaMessage describes the columns.
func schemaMessage(columns []*arrowColumn) []byte {
	b := flatbuffers.NewBuilder(1024)
	fields := make([]flatbuffers.UOffsetT, len(columns))
	for i, column := range columns {
		fields[i] = fieldOf(b, column)
	}
	vector := offsets(b, fields)
	b.StartObject(4)
	b.PrependUOffsetTSlot(1, vector, 0)
	return appendMessage(nil, b, headerSchema, b.EndObject(), 0)
}

// offsets makes a vector of tables or strings.
func offsets(b *flatbuffers.Builder, of []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	b.StartVector(4, len(of), 4)
	for i := len(of) - 1; i >= 0; i-- {
		b.PrependUOffsetT(of[i])
	}
	return b.EndVector(len(of))
}

// fieldOf describes one column. Its metadata keeps Redshift's own name of the type.
func fieldOf(b *flatbuffers.Builder, column *arrowColumn) flatbuffers.UOffsetT {
	name := b.CreateString(column.name)
	key, value := b.CreateString("redshift_type"), b.CreateString(typeName(column.redshift))
	b.StartObject(2)
	b.PrependUOffsetTSlot(0, key, 0)
	b.PrependUOffsetTSlot(1, value, 0)
	metadata := offsets(b, []flatbuffers.UOffsetT{b.EndObject()})
	children := offsets(b, nil)
	number, description := typeOf(b, column)
	b.StartObject(7)
	b.PrependUOffsetTSlot(0, name, 0)
	b.PrependBoolSlot(1, true, false) // nullable
	b.PrependByteSlot(2, number, 0)
	b.PrependUOffsetTSlot(3, description, 0)
	b.PrependUOffsetTSlot(5, children, 0)
	b.PrependUOffsetTSlot(6, metadata, 0)
	return b.EndObject()
}

// typeOf makes the table of a type, and gives its number.
func typeOf(b *flatbuffers.Builder, column *arrowColumn) (number byte, description flatbuffers.UOffsetT) {
	switch column.kind {
	case arrowBool:
		b.StartObject(0)
		return typeBool, b.EndObject()
	case arrowInt16, arrowInt32, arrowInt64:
		b.StartObject(2)
		b.PrependInt32Slot(0, int32(8*widths[column.kind]), 0)
		b.PrependBoolSlot(1, true, false) // signed
		return typeInt, b.EndObject()
	case arrowFloat32, arrowFloat64:
		precision := int16(single)
		if column.kind == arrowFloat64 {
			precision = double
		}
		b.StartObject(1)
		b.PrependInt16Slot(0, precision, 0)
		return typeFloat, b.EndObject()
	case arrowDecimal:
		b.StartObject(3)
		b.PrependInt32Slot(0, int32(column.redshift.Precision), 0)
		b.PrependInt32Slot(1, int32(column.decimals), 0)
		b.PrependInt32Slot(2, 128, 128)
		return typeDecimal, b.EndObject()
	case arrowDate:
		b.StartObject(1)
		b.PrependInt16Slot(0, unitDay, 1)
		return typeDate, b.EndObject()
	case arrowTime:
		b.StartObject(2)
		b.PrependInt16Slot(0, unitMicrosecond, 1)
		b.PrependInt32Slot(1, 64, 32)
		return typeTime, b.EndObject()
	case arrowTimestamp, arrowTimestampTZ:
		return typeTimestamp, timestampType(b, column.kind == arrowTimestampTZ)
	case arrowBytes:
		b.StartObject(0)
		return typeBinary, b.EndObject()
	}
	b.StartObject(0)
	return typeUtf8, b.EndObject()
}

func timestampType(b *flatbuffers.Builder, zoned bool) flatbuffers.UOffsetT {
	var zone flatbuffers.UOffsetT
	if zoned {
		zone = b.CreateString("UTC")
	}
	b.StartObject(2)
	b.PrependInt16Slot(0, unitMicrosecond, 0)
	b.PrependUOffsetTSlot(1, zone, 0)
	return b.EndObject()
}

// appendMessage completes a flatbuffer and writes what stands before a body of that length.
func appendMessage(to []byte, b *flatbuffers.Builder, header byte, table flatbuffers.UOffsetT, bodyLength int64) []byte {
	b.StartObject(5)
	b.PrependInt16Slot(0, metadataV5, 0)
	b.PrependByteSlot(1, header, 0)
	b.PrependUOffsetTSlot(2, table, 0)
	b.PrependInt64Slot(3, bodyLength, 0)
	b.Finish(b.EndObject())
	metadata := b.FinishedBytes()
	const mark = 8 // of the continuation mark and the length
	padding := (alignment - (mark+len(metadata))%alignment) % alignment
	to = append(to, 0xff, 0xff, 0xff, 0xff)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(metadata)+padding))
	to = append(to, metadata...)
	return append(to, zeros[:padding]...)
}

// largestMetadata is about what stands before a batch of many columns; a longer one fits all the same.
const largestMetadata = 4 << 10

// appendBatch writes rows as one record batch.
func appendBatch(to []byte, columns []*arrowColumn, rows int) []byte {
	var buffers [][]byte
	for _, column := range columns {
		buffers = append(buffers, column.validity)
		if column.offsets != nil {
			buffers = append(buffers, column.offsets)
		}
		buffers = append(buffers, column.data)
	}
	b := flatbuffers.NewBuilder(1024)
	body := int64(0)
	for _, buffer := range buffers {
		body += padded(len(buffer))
	}
	places := buffersVector(b, buffers, body)
	b.StartVector(16, len(columns), 8)
	for i := len(columns) - 1; i >= 0; i-- {
		b.PrependInt64(int64(columns[i].nulls))
		b.PrependInt64(int64(rows))
	}
	nodes := b.EndVector(len(columns))
	b.StartObject(4)
	b.PrependInt64Slot(0, int64(rows), 0)
	b.PrependUOffsetTSlot(1, nodes, 0)
	b.PrependUOffsetTSlot(2, places, 0)
	to = slices.Grow(to, largestMetadata+int(body))
	to = appendMessage(to, b, headerRecordBatch, b.EndObject(), body)
	for _, buffer := range buffers {
		to = append(to, buffer...)
		to = append(to, zeros[:padded(len(buffer))-int64(len(buffer))]...)
	}
	return to
}

// buffersVector says where in the body each buffer is. Vectors are written from their end.
func buffersVector(b *flatbuffers.Builder, buffers [][]byte, body int64) flatbuffers.UOffsetT {
	b.StartVector(16, len(buffers), 8)
	offset := body
	for i := len(buffers) - 1; i >= 0; i-- {
		offset -= padded(len(buffers[i]))
		b.PrependInt64(int64(len(buffers[i])))
		b.PrependInt64(offset)
	}
	return b.EndVector(len(buffers))
}

func padded(length int) int64 {
	return (int64(length) + alignment - 1) / alignment * alignment
}
