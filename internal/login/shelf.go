// Package login keeps what a person signed in with at the command line: which gateway, who they
// are there, and the tokens.
//
// Tokens go to the keyring of the operating system, or into a file that only its owner can read
// where there is no keyring. Whoever runs programs as the person can use either.
//
// What to fear here is a login that is lost: a refresh token works once, and scripts run many
// commands at the same time. So one process refreshes at a time, under a lock of the file system
// that ends with its holder; it looks at what is stored before it asks; and what it got is stored,
// by a rename, before anybody uses it. A process that is killed between the gateway's answer and
// the rename loses nothing: the gateway repeats the answer to whoever asks again with the token
// that it answered, until the next one is used.
package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/shiftgrant/shiftgrant/connect"
)

// A Login is one profile: a person at one gateway, for one warehouse.
type Login struct {
	Profile   string    `json:"profile"`
	Gateway   string    `json:"gateway"`
	Warehouse string    `json:"warehouse,omitempty"`
	Scopes    []string  `json:"scopes"`
	Subject   string    `json:"subject"`
	Name      string    `json:"name,omitempty"`
	Email     string    `json:"email,omitempty"`
	Username  string    `json:"username,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// KeptIn says where the tokens are; only those kept in the file are in it.
	KeptIn string         `json:"kept_in"`
	Tokens connect.Tokens `json:"tokens,omitzero"`
}

// Where tokens are kept.
const (
	InKeyring = "keyring"
	InFile    = "file"
)

// ErrNone says that nobody is signed in under this profile.
var ErrNone = errors.New("nobody is signed in")

// A Keyring keeps secrets for the person. Get returns ErrNone for what it has not.
type Keyring interface {
	Get(name string) (string, error)
	Set(name, secret string) error
	Delete(name string) error
}

// Shelf is where logins are kept.
type Shelf struct {
	Folder  string
	Keyring Keyring // nil: there is none, and tokens go into files
}

var profilePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckProfile says whether a name can be one of a profile, which is a file's name too.
func CheckProfile(name string) error {
	if !profilePattern.MatchString(name) || strings.HasSuffix(name, ".lock") {
		return errors.New("a profile's name has letters, digits, periods, hyphens and underscores")
	}
	return nil
}

func (s *Shelf) path(profile string) string { return filepath.Join(s.Folder, profile+".json") }

// Lock keeps every other process from changing a profile, until unlock or the end of this process.
func (s *Shelf) Lock(ctx context.Context, profile string) (unlock func(), err error) {
	if err := os.MkdirAll(s.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for logins: %w", err)
	}
	type locked struct {
		unlock func()
		err    error
	}
	done := make(chan locked, 1)
	go func() {
		// The file stays: to remove it would let a third process in beside a second.
		unlock, err := lockedfile.MutexAt(filepath.Join(s.Folder, profile+".lock")).Lock()
		done <- locked{unlock, err}
	}()
	select {
	case got := <-done:
		if got.err != nil {
			return nil, fmt.Errorf("lock the login: %w", got.err)
		}
		return got.unlock, nil
	case <-ctx.Done():
		go func() { // whoever gave up must not keep the others waiting
			if got := <-done; got.err == nil {
				got.unlock()
			}
		}()
		return nil, fmt.Errorf("wait for another process to refresh the login: %w", ctx.Err())
	}
}

// Load finds a login with its tokens, or returns ErrNone.
func (s *Shelf) Load(profile string) (Login, error) {
	l, err := s.Describe(profile)
	if err == nil && l.KeptIn == InKeyring {
		return s.fromKeyring(l)
	}
	return l, err
}

// Describe finds a login, or returns ErrNone. It does not ask the keyring, so the tokens that are there
// are missing.
func (s *Shelf) Describe(profile string) (Login, error) {
	if err := CheckProfile(profile); err != nil {
		return Login{}, err
	}
	path := s.path(profile)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return Login{}, ErrNone
	}
	if err != nil {
		return Login{}, fmt.Errorf("read the login: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return Login{}, fmt.Errorf("others can read %s: sign in again after `chmod 600 %s`, and see who has read it", path, path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return Login{}, fmt.Errorf("read the login: %w", err)
	}
	var l Login
	if err := json.Unmarshal(content, &l); err != nil || l.Profile != profile {
		return Login{}, fmt.Errorf("the file %s is damaged: remove it and sign in again", path)
	}
	return l, nil
}

func (s *Shelf) fromKeyring(l Login) (Login, error) {
	if s.Keyring == nil {
		return Login{}, errors.New("the tokens of this login are in the keyring, which cannot be reached from here: sign in again to keep them in a file")
	}
	text, err := s.Keyring.Get(keyringName(l))
	if err != nil {
		return Login{}, fmt.Errorf("read the tokens from the keyring: %w", err)
	}
	if err := json.Unmarshal([]byte(text), &l.Tokens); err != nil {
		return Login{}, errors.New("the keyring holds something else than tokens: sign in again")
	}
	return l, nil
}

func keyringName(l Login) string { return l.Profile + "@" + l.Gateway }

// Put keeps a new login: in the keyring, if it takes it. The caller holds the lock.
func (s *Shelf) Put(l Login) (Login, error) {
	if err := CheckProfile(l.Profile); err != nil {
		return Login{}, err
	}
	l.KeptIn = InFile
	if s.Keyring != nil && s.toKeyring(l) == nil {
		l.KeptIn = InKeyring
	}
	return l, s.Save(l)
}

func (s *Shelf) toKeyring(l Login) error {
	text, err := json.Marshal(l.Tokens)
	if err != nil {
		return err
	}
	return s.Keyring.Set(keyringName(l), string(text))
}

// Save keeps a login where it was kept. The caller holds the lock.
func (s *Shelf) Save(l Login) error {
	if l.KeptIn == InKeyring {
		if s.Keyring == nil {
			return errors.New("save the login: the keyring cannot be reached")
		}
		if err := s.toKeyring(l); err != nil {
			return fmt.Errorf("keep the tokens in the keyring: %w", err)
		}
		l.Tokens = connect.Tokens{}
	}
	content, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the login: %w", err)
	}
	if err := replace(s.path(l.Profile), append(content, '\n'), s.unfinished(l.Profile)); err != nil {
		return fmt.Errorf("save the login: %w", err)
	}
	s.tidy(l.Profile)
	return nil
}

// unfinished is the pattern of the files in which a login is written. No profile's name has a tilde.
func (s *Shelf) unfinished(profile string) string { return ".new-" + profile + "~*" }

// tidy removes what processes left that were killed while they wrote: it may hold tokens. The caller
// holds the lock, so nobody is writing.
func (s *Shelf) tidy(profile string) {
	left, _ := filepath.Glob(filepath.Join(s.Folder, s.unfinished(profile)))
	for _, path := range left {
		_ = os.Remove(path) // the next to write tries again
	}
}

// replace writes a file so that there is the old one or the new one at every moment, and the new
// one after a power cut too.
func replace(path string, content []byte, pattern string) error {
	file, err := os.CreateTemp(filepath.Dir(path), pattern) // 0600
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(folder string) error {
	if runtime.GOOS == "windows" { // where a folder cannot be opened
		return nil
	}
	file, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// Delete forgets a login. The caller holds the lock.
func (s *Shelf) Delete(l Login) error {
	if l.KeptIn == InKeyring && s.Keyring != nil {
		if err := s.Keyring.Delete(keyringName(l)); err != nil && !errors.Is(err, ErrNone) {
			return fmt.Errorf("remove the tokens from the keyring: %w", err)
		}
	}
	s.tidy(l.Profile)
	if err := os.Remove(s.path(l.Profile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the login: %w", err)
	}
	return nil
}

// Profiles lists the names under which somebody is signed in.
func (s *Shelf) Profiles() ([]string, error) {
	entries, err := os.ReadDir(s.Folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list logins: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".json"); ok && CheckProfile(name) == nil {
			names = append(names, name)
		}
	}
	return names, nil
}
