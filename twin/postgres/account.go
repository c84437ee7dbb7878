package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// PostgreSQL refuses to run as root. Started by root, as in a container, it runs as an account
// without rights, and its folders are handed to that account.

// An account is whom PostgreSQL runs as. A nil account is ourselves.
type account struct {
	name     string
	uid, gid uint32
}

// unprivileged is the account to use, nil where we are not root.
func unprivileged() (*account, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	var failures error
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			failures = errors.Join(failures, err)
			continue
		}
		uid, errUID := strconv.ParseUint(found.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(found.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			return nil, fmt.Errorf("read the ids of user %s: %w", name, err)
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as: %w", failures)
}

// attributes of a process that runs as the account.
func (a *account) attributes() *syscall.SysProcAttr {
	if a == nil {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
}

// makeFolder makes a folder that only the account may enter. Root, which may enter anything,
// keeps its access.
func (a *account) makeFolder(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return unusable(err)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return unusable(err)
	}
	if a == nil {
		return writable(path)
	}
	if err := os.Chown(path, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("%w: hand %s to user %s: %w", ErrFolder, path, a.name, err)
	}
	return nil
}

func writable(path string) error {
	probe, err := os.CreateTemp(path, ".probe-")
	if err != nil {
		return unusable(err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// unusable says what to do about a folder that may not be used.
func unusable(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w: choose another folder, or chmod u+rwx it", ErrFolder, err)
	}
	return fmt.Errorf("%w: %w", ErrFolder, err)
}

// mayEnter checks that the account can pass through a folder and all above it. A folder in
// root's home usually stops it.
func (a *account) mayEnter(folder string) error {
	if a == nil {
		return nil
	}
	for path := folder; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFolder, err)
		}
		if !a.mayPass(info) {
			return fmt.Errorf("%w: PostgreSQL runs as user %s, who may not enter %s: choose a folder elsewhere, or chmod o+x %s", ErrFolder, a.name, path, path)
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}

func (a *account) mayPass(info os.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch mode := info.Mode().Perm(); {
	case ok && owner.Uid == a.uid:
		return mode&0o100 != 0
	case ok && owner.Gid == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// longestTemporary leaves room for run/.s.PGSQL.5439 within the 107 bytes of a socket's path.
const longestTemporary = 80

// temporaryFolder makes a folder with a short path that the account can pass through.
func temporaryFolder(a *account) (string, error) {
	parent := os.TempDir()
	if len(parent) > longestTemporary-len("/twin-pg-0123456789") || a.mayEnter(parent) != nil {
		parent = "/tmp"
	}
	folder, err := os.MkdirTemp(parent, "twin-pg-")
	if err != nil {
		return "", fmt.Errorf("%w: make a temporary one: %w", ErrFolder, err)
	}
	if a == nil {
		return folder, nil
	}
	// Others may pass through, not look in; what lies inside is private to the account.
	if err := os.Chmod(folder, 0o711); err != nil {
		return "", fmt.Errorf("%w: %w", ErrFolder, err)
	}
	return folder, nil
}
