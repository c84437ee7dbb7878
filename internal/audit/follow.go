package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// Follower reads a record from some place on, through all its files, and goes on where new ones
// are written.
type Follower struct {
	path   string
	file   *os.File
	lines  *bufio.Reader
	partly []byte
	chain  string
	last   int64
}

// Follow reads what comes after a number in the newest chain at path; after 0, from the oldest
// record that is there.
func Follow(path string, after int64) (*Follower, error) {
	files, err := Files(path)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no audit record at %s: %w", path, os.ErrNotExist)
	}
	newest := files[len(files)-1].Chain
	f := &Follower{path: path, chain: newest, last: after}
	var in *File
	for i := range files {
		if files[i].Chain == newest && (in == nil || files[i].First <= after+1) {
			in = &files[i]
		}
	}
	if err := f.open(in.Path); err != nil {
		return nil, err
	}
	if err := seek(f.file, after+1); err != nil {
		return nil, fmt.Errorf("read audit record: %w", errors.Join(err, f.Close()))
	}
	return f, nil
}

// Chain is the name of the chain that is being read.
func (f *Follower) Chain() string { return f.chain }

// Last is the number of the record that was read last.
func (f *Follower) Last() int64 { return f.last }

// Next returns the next line, which is good until it is called again, or io.EOF where there is
// none yet.
func (f *Follower) Next() ([]byte, error) {
	for {
		part, err := f.lines.ReadSlice('\n')
		f.partly = append(f.partly, part...)
		switch {
		case err == nil:
			return f.take()
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("read audit record: %w", err)
		}
		if err := f.unread(); err != nil {
			return nil, err
		}
		if moved, err := f.moveOn(); err != nil {
			return nil, err
		} else if !moved {
			return nil, io.EOF
		}
	}
}

func (f *Follower) take() ([]byte, error) {
	line := bytes.TrimSuffix(f.partly, []byte{'\n'})
	f.partly = f.partly[:0]
	p, ok := placeOf(line)
	if !ok {
		return nil, fmt.Errorf("audit record %s: the line after record %d is no record: run shiftgrant audit verify", f.file.Name(), f.last)
	}
	f.last = p.Number
	return line, nil
}

// unread goes back to the beginning of a line that is not whole yet: it may still be taken back.
func (f *Follower) unread() error {
	_, err := f.file.Seek(-int64(len(f.partly)), io.SeekCurrent)
	f.partly = f.partly[:0]
	f.lines.Reset(f.file)
	if err != nil {
		return fmt.Errorf("read audit record: %w", err)
	}
	return nil
}

// moveOn opens the file that goes on from the end of this one. Whoever writes may still be
// writing to this one when it has been moved away, so only the number tells.
func (f *Follower) moveOn() (moved bool, err error) {
	here, err := f.file.Stat()
	if err != nil {
		return false, fmt.Errorf("read audit record: %w", err)
	}
	if current, err := os.Stat(f.path); err == nil && os.SameFile(here, current) {
		return false, nil
	}
	files, err := Files(f.path)
	if err != nil {
		return false, err
	}
	for _, file := range files {
		newChain := file.Path == f.path && file.First == 1
		if file.Chain == f.chain && file.First == f.last+1 || newChain && file.Chain != f.chain {
			f.chain = file.Chain
			return true, f.open(file.Path)
		}
	}
	return false, nil
}

func (f *Follower) open(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read audit record: %w", err)
	}
	if f.file != nil {
		_ = f.file.Close() // only read from
	}
	f.file, f.lines = file, bufio.NewReaderSize(file, 1<<16)
	return nil
}

// Close ends it.
func (f *Follower) Close() error { return f.file.Close() }
