package issuer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// PublishAhead is for how long a key has to be published before it signs: AWS and the apps may keep
	// the set that they fetched for as long.
	PublishAhead = 24 * time.Hour
	// MinimumTurn is the shortest turn of a key that Due can plan.
	MinimumTurn = 7 * 24 * time.Hour

	// planAhead is when the next key is made. It is long before PublishAhead, so that somebody can mend
	// what keeps it from being made.
	planAhead = 48 * time.Hour
	day       = 24 * time.Hour
	// nearDay is how near to the end of a day nothing is planned.
	nearDay = 10 * time.Minute
	// keepFile is for how long the file of a key that is over is kept, for a clock that has to be set
	// back.
	keepFile = 24 * time.Hour
)

// Due reports whether the next key should be made, and from when it signs: when the newest one has
// signed for a turn. If that cannot be any more, because no gateway ran for long, it is whole days
// later.
//
// Several gateways that share a folder come to the same time, so that of the files that they make one
// gets its name ([Keys.AddNext]). For the same reason nothing is due while a day is about to end, when
// two of them might disagree about which it is.
func (k *Keys) Due(turn time.Duration, now time.Time) (from time.Time, due bool) {
	keys := *k.current.Load()
	from = keys[len(keys)-1].from.Add(turn)
	if now.Before(from.Add(-planAhead)) {
		return time.Time{}, false
	}
	late := now.Add(PublishAhead).Sub(from)
	if late <= -nearDay {
		return from, true
	}
	if intoDay := (late + nearDay) % day; intoDay < 2*nearDay {
		return time.Time{}, false
	}
	return from.Add(late.Truncate(day) + day), true
}

// AddNext makes the key that is due, or finds the one that another gateway has made for that time.
func (k *Keys) AddNext(from, now time.Time) (key KeyInfo, made bool, err error) {
	err = k.makeKey(from)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return KeyInfo{}, false, fmt.Errorf("make a signing key in %s: %w", k.folder, err)
	}
	key, addedErr := k.added(from, now)
	return key, err == nil, addedErr
}

// RemoveOver deletes the files of keys that have been over for a day, and gives their paths.
func (k *Keys) RemoveOver(now time.Time) (removed []string, err error) {
	for _, key := range k.List(now.Add(-keepFile)) {
		if key.State != Over || filepath.Dir(key.Place) != filepath.Clean(k.folder) {
			continue
		}
		switch removeErr := os.Remove(key.Place); {
		case removeErr == nil:
			removed = append(removed, key.Place)
		case !errors.Is(removeErr, fs.ErrNotExist):
			err = errors.Join(err, fmt.Errorf("delete the signing key that is over: %w", removeErr))
		}
	}
	if len(removed) > 0 {
		err = errors.Join(err, k.Reload(now))
	}
	return removed, err
}

// exportedFile is in the folder of the keys once their public halves were exported. It has the ids of
// those that were.
const exportedFile = "exported"

// NoteExport leaves a note of which keys are in the files that Export wrote, for gateways on the same
// folder: what AWS reads of them is then those files, and no longer what they publish themselves.
func (k *Keys) NoteExport(now time.Time) error {
	note := "# What `shiftgrant issuer export` last wrote. Delete this if the files are served no more.\n"
	for _, key := range k.List(now) {
		if key.State != Over {
			note += key.ID + "\n"
		}
	}
	if err := os.MkdirAll(k.folder, 0o700); err != nil {
		return fmt.Errorf("note the export: %w", err)
	}
	if err := writeFile(filepath.Join(k.folder, exportedFile), []byte(note), 0o600); err != nil {
		return fmt.Errorf("note the export: %w", err)
	}
	return nil
}

// Exported gives the ids of the keys that were exported; exported is false if none ever were.
func (k *Keys) Exported() (ids []string, exported bool, err error) {
	content, err := os.ReadFile(filepath.Join(k.folder, exportedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read which keys were exported: %w", err)
	}
	return slices.DeleteFunc(strings.Split(string(content), "\n"), func(line string) bool { return line == "" || strings.HasPrefix(line, "#") }), true, nil
}
