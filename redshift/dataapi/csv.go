package dataapi

import (
	"bytes"
	"errors"
	"io"
)

var (
	errCSVQuote = errors.New("a quoted field does not end with a quote and then a comma or a line's end")
	errCSVWidth = errors.New("a row has more or fewer fields than there are columns")
)

// A csvReader reads rows of RFC 4180 from memory. NULL is an empty field without quotes, the
// empty string is "".
//
// Nothing is allocated or copied: a value is a piece of data, and where a quoted field holds
// doubled quotes, the value is moved together in place, which overwrites what was read already.
type csvReader struct {
	data []byte
	at   int
	// crlf says that rows end with CR LF, as the header line did. Otherwise a CR before the
	// line's end belongs to the value.
	crlf bool
}

// next gives the next row in the space of values, whose length is the number of columns. At
// the end it is io.EOF.
func (r *csvReader) next(values [][]byte) error {
	if r.at >= len(r.data) {
		return io.EOF
	}
	if len(values) == 0 {
		return errCSVWidth
	}
	for column := range values {
		value, last, err := r.field()
		if err != nil {
			return err
		}
		if last != (column == len(values)-1) {
			return errCSVWidth
		}
		values[column] = value
	}
	return nil
}

// header reads the first line, whatever its width, and learns how lines end.
func (r *csvReader) header() ([]string, error) {
	var names []string
	for last := r.at >= len(r.data); !last; {
		var value []byte
		var err error
		if value, last, err = r.field(); err != nil {
			return nil, err
		}
		if last && r.at >= 2 && r.data[r.at-1] == '\n' && r.data[r.at-2] == '\r' {
			r.crlf = true
			value = bytes.TrimSuffix(value, []byte{'\r'})
		}
		names = append(names, string(value))
	}
	return names, nil
}

// field reads one field, and tells whether it is the last of its row. The end of data ends a
// row too.
func (r *csvReader) field() (value []byte, last bool, err error) {
	if r.at < len(r.data) && r.data[r.at] == '"' {
		return r.quoted()
	}
	start := r.at
	for ; r.at < len(r.data); r.at++ {
		switch r.data[r.at] {
		case ',':
			value = r.data[start:r.at:r.at]
			r.at++
			return nullIfEmpty(value), false, nil
		case '\n':
			value = r.data[start:r.at:r.at]
			r.at++
			if r.crlf {
				value = bytes.TrimSuffix(value, []byte{'\r'})
			}
			return nullIfEmpty(value), true, nil
		}
	}
	return nullIfEmpty(r.data[start:r.at:r.at]), true, nil
}

func nullIfEmpty(value []byte) []byte {
	if len(value) == 0 {
		return nil
	}
	return value
}

// quoted reads a field that starts with a quote. Between quotes everything is text, line ends
// included, and two quotes are one.
func (r *csvReader) quoted() (value []byte, last bool, err error) {
	r.at++
	start, end := r.at, r.at
	for {
		length := bytes.IndexByte(r.data[r.at:], '"')
		if length < 0 {
			return nil, false, errCSVQuote
		}
		if end != r.at { // a doubled quote came before: close the gap
			copy(r.data[end:], r.data[r.at:r.at+length])
		}
		end += length
		r.at += length + 1
		if r.at >= len(r.data) || r.data[r.at] != '"' {
			break
		}
		r.data[end] = '"'
		end++
		r.at++
	}
	value = r.data[start:end:end]
	last, err = r.afterQuote()
	return value, last, err
}

func (r *csvReader) afterQuote() (last bool, err error) {
	rest := r.data[r.at:]
	switch {
	case len(rest) == 0:
		return true, nil
	case rest[0] == ',':
		r.at++
		return false, nil
	case rest[0] == '\n':
		r.at++
		return true, nil
	case len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n':
		r.at += 2
		return true, nil
	}
	return false, errCSVQuote
}
