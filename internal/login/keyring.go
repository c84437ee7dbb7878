package login

import (
	"errors"
	"os"
	"runtime"

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

type systemKeyring struct{}

func (systemKeyring) Get(name string) (string, error) {
	secret, err := keyring.Get(keyringService, name)
	return secret, noneFor(err)
}

func (systemKeyring) Set(name, secret string) error { return keyring.Set(keyringService, name, secret) }

func (systemKeyring) Delete(name string) error {
	return noneFor(keyring.Delete(keyringService, name))
}

func noneFor(err error) error {
	if errors.Is(err, keyring.ErrNotFound) {
		return ErrNone
	}
	return err
}
