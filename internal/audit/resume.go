package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// begin finds where to go on, and records that a run begins.
func (l *Log) begin() error {
	if err := l.resume(); err != nil || l.config.Key == nil {
		return err
	}
	detail := ""
	if l.last > l.signed {
		detail = fmt.Sprintf("the run before did not end in a signed head, as a crash leaves it: what is before record %d was signed only now", l.last+1)
	}
	if err := l.note(kindOpened, detail); err != nil {
		return err
	}
	l.sign()
	return nil
}

// resume finds the end of the chain in the file.
func (l *Log) resume() error {
	file := l.file.Load()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err // from a pipe nothing can be read back: a new chain begins
	}
	end, err := l.resumeFrom(file, info.Size())
	if err != nil {
		return err
	}
	if l.last == 0 {
		if err := l.resumeAside(); err != nil {
			return err
		}
	}
	if end == info.Size() {
		return nil
	}
	if err := l.setAside(file, end, info.Size()); err != nil {
		return err
	}
	detail := fmt.Sprintf("%d bytes after record %d were no whole record, as a crash leaves them; they are in %s", info.Size()-end, l.last, l.tornPath())
	l.config.Logger.Warn("audit record repaired", "detail", detail)
	return l.note(kindRepaired, detail)
}

// resumeFrom goes on from the last record of a file, and returns where that ends.
func (l *Log) resumeFrom(file *os.File, size int64) (end int64, err error) {
	last, end, err := lastRecord(file, size)
	if err != nil || last == nil {
		return end, err
	}
	first, err := firstLine(file)
	if err != nil {
		return 0, err
	}
	before, _ := chainBefore(first)
	p, _ := placeOf(last)
	if p.Number > 1 && before.last == 0 {
		before.move(first)
	}
	l.chain = chain{p.Number - 1, *p.Previous, before.name}
	l.move(last)
	if isHead(last) {
		l.signed = l.last
	}
	l.durable.Store(new(l.chain))
	return end, nil
}

// resumeAside goes on from a file that was moved away before anything was written to its
// successor.
func (l *Log) resumeAside() error {
	files, err := Files(l.config.Path)
	if err != nil || len(files) == 0 {
		return err
	}
	path := files[len(files)-1].Path
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if _, err := l.resumeFrom(file, info.Size()); err != nil {
		return err
	}
	return l.note(kindReopened, "")
}

// lastRecord finds the last line that is a record, and where it ends. It reads from the end, so
// that a long file opens as fast as a short one.
func lastRecord(file *os.File, size int64) (line []byte, end int64, err error) {
	for window := int64(1 << 16); ; window *= 4 {
		from := max(size-window, 0)
		text := make([]byte, size-from)
		if _, err := file.ReadAt(text, from); err != nil {
			return nil, 0, err
		}
		for stop := bytes.LastIndexByte(text, '\n'); stop >= 0; {
			start := bytes.LastIndexByte(text[:stop], '\n') + 1
			if start == 0 && from > 0 {
				break // the line may begin before the window
			}
			if _, ok := placeOf(text[start:stop]); ok {
				return text[start:stop], from + int64(stop) + 1, nil
			}
			stop = start - 1
		}
		switch {
		case from == 0 && (size == 0 || bytes.HasPrefix(text, []byte(`{"n":1,`))):
			return nil, 0, nil // at most the first record, torn
		case from == 0 || window > 2*maxLine:
			return nil, 0, errors.New("it does not end in a record: if it is something else, choose another path; otherwise move it away and look at it")
		}
	}
}

func (l *Log) tornPath() string { return l.config.Path + ".torn" }

// setAside moves the end of the file to the file of torn records. It is durable there before it
// is cut off here.
func (l *Log) setAside(file *os.File, from, to int64) error {
	torn := make([]byte, to-from)
	if _, err := file.ReadAt(torn, from); err != nil {
		return err
	}
	aside, err := openPrivately(l.tornPath())
	if err != nil {
		return err
	}
	_, err = aside.Write(append(torn, '\n'))
	if err := errors.Join(err, aside.Sync(), aside.Close()); err != nil {
		return err
	}
	return errors.Join(file.Truncate(from), file.Sync())
}
