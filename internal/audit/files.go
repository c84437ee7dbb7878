package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A File is one of those that a chain is in.
type File struct {
	Path  string
	Chain string    // the chain's name
	First int64     // number of its first record
	Since time.Time // of its first record
}

// Files finds the files of a record by what they hold: the one at path, and those beside it whose
// names begin with that one's, as rotation leaves them. They are in the order of their chains,
// the oldest first.
func Files(path string) ([]File, error) {
	beside, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("find the files of the audit record: %w", err)
	}
	var paths []string
	for _, entry := range beside {
		if strings.HasPrefix(entry.Name(), filepath.Base(path)) && entry.Type().IsRegular() {
			paths = append(paths, filepath.Join(filepath.Dir(path), entry.Name()))
		}
	}
	files, err := Arrange(paths)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(files, func(f File) bool { return f.First == 0 }), nil
}

// Arrange puts files in the order of their chains. What holds no record comes first, and has no
// number.
func Arrange(paths []string) ([]File, error) {
	begun := map[string]time.Time{}
	var files []File
	for _, path := range paths {
		f, err := lookAt(path)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		if at, known := begun[f.Chain]; !known || f.Since.Before(at) {
			begun[f.Chain] = f.Since
		}
	}
	slices.SortStableFunc(files, func(a, b File) int {
		return cmp.Or(begun[a.Chain].Compare(begun[b.Chain]), cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.First, b.First))
	})
	return files, nil
}

// Last is the number of the newest record at path.
func Last(path string) (int64, error) {
	files, err := Files(path)
	if err != nil || len(files) == 0 {
		return 0, err
	}
	newest := files[len(files)-1].Path
	file, err := os.Open(newest)
	if err != nil {
		return 0, fmt.Errorf("read audit record: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, fmt.Errorf("read audit record: %w", err)
	}
	line, _, err := lastRecord(file, info.Size())
	if err != nil {
		return 0, fmt.Errorf("read audit record %s: %w", newest, err)
	}
	p, _ := placeOf(line)
	return p.Number, nil
}

// lookAt reads the first line of a file. One that has none, is something else, or was moved away
// in the meantime, has nothing but a path.
func lookAt(path string) (File, error) {
	found := File{Path: path}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return found, fmt.Errorf("read audit record: %w", err)
	}
	defer file.Close()
	line, err := firstLine(file)
	if err != nil {
		return found, fmt.Errorf("read audit record %s: %w", path, err)
	}
	before, ok := chainBefore(line)
	if !ok {
		return found, nil
	}
	found.First, found.Since = before.last+1, glance(line).Time
	if before.last == 0 {
		before.move(line)
	}
	found.Chain = before.name
	return found, nil
}

// firstLine is empty for a file without one.
func firstLine(file io.ReaderAt) ([]byte, error) {
	lines := bufio.NewReader(io.NewSectionReader(file, 0, maxLine))
	line, err := lines.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return bytes.TrimSuffix(line, []byte{'\n'}), err
}

// glimpse is what every record has.
type glimpse struct {
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
}

func glance(line []byte) glimpse {
	var seen glimpse
	_ = json.Unmarshal(line, &seen) // a record that says neither has neither
	return seen
}

// seek puts a file before the first record whose number is at least the one given. It looks at
// few places of a long file: the numbers go up.
func seek(file *os.File, number int64) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	from, to := int64(0), size
	for to-from > 1<<16 {
		middle := from + (to-from)/2
		start, found, err := recordAfter(file, middle, to)
		if err != nil {
			return err
		}
		if found == 0 || found >= number {
			to = middle
		} else {
			from = start
		}
	}
	for {
		start, found, err := recordAt(file, from, size)
		if err != nil || found == 0 || found >= number {
			_, seekErr := file.Seek(from, io.SeekStart)
			return errors.Join(err, seekErr)
		}
		from = start
	}
}

// recordAfter finds the first record that begins after a place: where it begins, and its number,
// which is 0 where there is none before the end.
func recordAfter(file io.ReaderAt, place, end int64) (start, number int64, err error) {
	lines := bufio.NewReader(io.NewSectionReader(file, place, end-place))
	skipped, err := lines.ReadBytes('\n')
	if err != nil {
		return 0, 0, ignoreEnd(err)
	}
	line, err := lines.ReadBytes('\n')
	p, _ := placeOf(bytes.TrimSuffix(line, []byte{'\n'}))
	return place + int64(len(skipped)), p.Number, ignoreEnd(err)
}

// recordAt is the number of the record at a place, and where the next one begins.
func recordAt(file io.ReaderAt, place, end int64) (next, number int64, err error) {
	line, err := bufio.NewReader(io.NewSectionReader(file, place, end-place)).ReadBytes('\n')
	p, _ := placeOf(bytes.TrimSuffix(line, []byte{'\n'}))
	return place + int64(len(line)), p.Number, ignoreEnd(err)
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
