package seal

import (
	"sync"
	"time"
)

// reload finds keys that another process has added.
type reload struct {
	mu    sync.Mutex
	read  func() ([]Key, error)
	tried time.Time
}

// reloadPause keeps values that were made up from causing work.
const reloadPause = time.Second

// ReloadBy gives the ring a way to read its keys again, for a value that names a version which
// it does not have: another gateway with the same keys may have been told to rotate them.
func (r *Ring) ReloadBy(read func() ([]Key, error)) {
	r.reload.mu.Lock()
	defer r.reload.mu.Unlock()
	r.reload.read = read
}

// key finds a version, or nil.
func (r *Ring) key(version uint32) []byte {
	if key := r.current.Load().keys[version]; key != nil {
		return key
	}
	l := &r.reload
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read == nil {
		return nil
	}
	if key := r.current.Load().keys[version]; key != nil || time.Since(l.tried) < reloadPause {
		return key
	}
	l.tried = time.Now()
	if keys, err := l.read(); err != nil || r.Replace(keys...) != nil {
		return nil // the keys that there are stay
	}
	return r.current.Load().keys[version]
}
