package login

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/zalando/go-keyring"
)

// keyringService is the name under which people find our entries in their keyring.
const keyringService = "shiftgrant"

// SystemKeyring is the operating system's, or nil where there is none: on Linux without a session
// bus, as in a container or over SSH, the library would try to start one.
func SystemKeyring() Keyring {
	if runtime.GOOS == "linux" && os.Getenv("DBUS_SESSION_BUS_ADDRESS") == "" {
		return nil
	}
	return systemKeyring{}
}

// keyringTime is how long a keyring may take: it may be asking for its password, and where nobody sees
// that, as over SSH, it would ask for ever.
const keyringTime = 20 * time.Second

type systemKeyring struct{}

func (systemKeyring) Get(name string) (string, error) {
	return inTime(keyringTime, func() (string, error) {
		secret, err := keyring.Get(keyringService, name)
		return secret, noneFor(err)
	})
}

func (systemKeyring) Set(name, secret string) error {
	_, err := inTime(keyringTime, func() (struct{}, error) { return struct{}{}, keyring.Set(keyringService, name, secret) })
	return err
}

func (systemKeyring) Delete(name string) error {
	_, err := inTime(keyringTime, func() (struct{}, error) {
		return struct{}{}, noneFor(keyring.Delete(keyringService, name))
	})
	return err
}

// inTime gives up on what takes too long; it goes on by itself, because the library cannot be stopped.
func inTime[T any](limit time.Duration, do func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := do()
		done <- outcome{value, err}
	}()
	select {
	case got := <-done:
		return got.value, got.err
	case <-time.After(limit):
		var none T
		return none, fmt.Errorf("the keyring did not answer within %s: unlock it, or set SHIFTGRANT_KEYRING=off and sign in again", limit)
	}
}

func noneFor(err error) error {
	if errors.Is(err, keyring.ErrNotFound) {
		return ErrNone
	}
	return err
}
