package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// resume finds the end of the chain in the file.
func (l *Log) resume() error {
	file := l.file.Load()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err // from a pipe nothing can be read back: a new chain begins
	}
	last, end, err := lastRecord(file, info.Size())
	if err != nil {
		return err
	}
	if last != nil {
		p, _ := placeOf(last)
		l.chain = chain{p.Number - 1, *p.Previous}
		l.move(last)
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
