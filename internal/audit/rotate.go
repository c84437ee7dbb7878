package audit

import (
	"errors"
	"fmt"
	"os"
)

// rotate moves a file that has become too long away, and goes on in a new one.
func (l *Log) rotate() {
	if l.rotateAt == 0 {
		return
	}
	info, err := l.file.Load().Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() < l.rotateAt {
		return
	}
	if err := l.moveAway(); err != nil {
		l.config.Logger.Error("rotate the audit record; going on in the same file", "path", l.config.Path, "error", err)
		l.rotateAt = 2 * info.Size()
		return
	}
	l.rotateAt = l.config.RotateAt
	if err := l.note(kindReopened, ""); err != nil {
		l.config.Logger.Error("begin a new file of the audit record", "path", l.config.Path, "error", err)
	}
}

// moveAway ends the file in a head, renames it by its last record, and opens another.
func (l *Log) moveAway() error {
	l.sign()
	aside := fmt.Sprintf("%s.%s-%d", l.config.Path, l.config.Now().UTC().Format("20060102T150405Z"), l.last)
	if _, err := os.Lstat(aside); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is in the way: %w", aside, err)
	}
	if err := os.Rename(l.config.Path, aside); err != nil {
		return err
	}
	if err := l.swap(); err != nil {
		return errors.Join(err, os.Rename(aside, l.config.Path))
	}
	return nil
}

// fork begins a new chain, for the one in the file is not the one that was written.
func (l *Log) fork(why string) error {
	if err := l.moveAway(); err != nil {
		return fmt.Errorf("%w: begin a new chain: %w", ErrUnavailable, err)
	}
	l.chain, l.signed = chain{}, 0
	if err := l.note(kindForked, why); err != nil {
		return err
	}
	l.sign()
	return nil
}
