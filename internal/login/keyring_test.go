package login

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/shiftgrant/shiftgrant/connect"
)

// The library's own stand-in is one for the whole process, so these tests run one after the other.

func TestTheSystemsKeyringKeepsALogin(t *testing.T) {
	keyring.MockInit()
	shelf := &Shelf{Folder: t.TempDir(), Keyring: systemKeyring{}}
	tokens := connect.Tokens{Access: "an access token", Refresh: "a refresh token", Expires: time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)}
	if _, err := shelf.Put(Login{Profile: "work", Gateway: "https://grants.example.com", Tokens: tokens}); err != nil {
		t.Fatal(err)
	}
	if secret, err := keyring.Get("shiftgrant", "work@https://grants.example.com"); err != nil || !strings.Contains(secret, "a refresh token") {
		t.Errorf("the keyring holds %q, %v", secret, err)
	}
	kept, err := shelf.Load("work")
	if err != nil || kept.Tokens != tokens || kept.KeptIn != InKeyring {
		t.Fatalf("kept %+v, %v", kept, err)
	}
	if err := shelf.Delete(kept); err != nil {
		t.Fatal(err)
	}
	if _, err := (systemKeyring{}).Get("work@https://grants.example.com"); !errors.Is(err, ErrNone) {
		t.Errorf("after delete: %v, want %v", err, ErrNone)
	}
	if err := (systemKeyring{}).Delete("work@https://grants.example.com"); !errors.Is(err, ErrNone) {
		t.Errorf("deleted twice: %v, want %v", err, ErrNone)
	}
}

func TestAKeyringThatFailsMakesAFile(t *testing.T) {
	keyring.MockInitWithError(errors.New("the service is not there"))
	t.Cleanup(keyring.MockInit)
	shelf := &Shelf{Folder: t.TempDir(), Keyring: systemKeyring{}}
	kept, err := shelf.Put(Login{Profile: "work", Tokens: connect.Tokens{Access: "an access token"}})
	if err != nil || kept.KeptIn != InFile {
		t.Errorf("kept in the %s, %v", kept.KeptIn, err)
	}
}

func TestAKeyringThatAsksNobodyIsGivenUp(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	_, err := inTime(time.Millisecond, func() (string, error) { <-never; return "", nil })
	if err == nil || !strings.Contains(err.Error(), "did not answer within 1ms") {
		t.Errorf("waited, and got %v", err)
	}
}

func TestThereIsNoKeyringOnLinuxWithoutASessionBus(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	if linux := runtime.GOOS == "linux"; (SystemKeyring() == nil) != linux {
		t.Errorf("a keyring without a session bus, on %s: %v", runtime.GOOS, SystemKeyring())
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/1000/bus")
	if SystemKeyring() == nil {
		t.Error("no keyring with a session bus")
	}
}
