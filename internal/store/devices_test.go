package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

func aDevice(name string) grant.Device {
	return grant.Device{
		Hash: grant.HashToken("device " + name), UserCode: grant.HashToken("user code " + name), Tenant: grant.DefaultTenant, AppID: "stargazer",
		Scopes: grant.Scopes{"sql:read", "warehouse:tickit"}, Warehouse: "tickit", Address: "203.0.113.7",
		CreatedAt: start, ExpiresAt: start.Add(grant.DeviceLifetime), Pause: 5 * time.Second,
	}
}

func TestADeviceIsFoundByEitherCodeOfItsTenant(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		want := aDevice("one")
		if err := s.CreateDevice(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		got, err := s.Device(t.Context(), want.Tenant, want.Hash)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("by its own code: %v %s", err, diff)
		}
		got, err = s.DeviceByUserCode(t.Context(), want.Tenant, want.UserCode)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("by the user code: %v %s", err, diff)
		}
		for name, look := range map[string]func() error{
			"another tenant":              func() error { _, err := s.Device(t.Context(), "other", want.Hash); return err },
			"the user code as the device": func() error { _, err := s.Device(t.Context(), want.Tenant, want.UserCode); return err },
			"the device as the user code": func() error { _, err := s.DeviceByUserCode(t.Context(), want.Tenant, want.Hash); return err },
		} {
			if err := look(); !errors.Is(err, grant.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		again := aDevice("two")
		again.UserCode = want.UserCode
		if err := s.CreateDevice(t.Context(), again); !errors.Is(err, grant.ErrExists) {
			t.Errorf("a user code that is taken: %v", err)
		}
	})
}

func TestADeviceIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		populate(t, s)
		device := aDevice("one")
		if err := s.CreateDevice(t.Context(), device); err != nil {
			t.Fatal(err)
		}
		g, _ := newGrant("gra_1")
		code := grant.Code{Hash: device.Hash, Tenant: device.Tenant, GrantID: g.ID, AppID: g.AppID, Scopes: g.Scopes, AuthTime: start, CreatedAt: start, ExpiresAt: device.ExpiresAt}
		if err := s.AllowDevice(t.Context(), device, g, code, start); err != nil {
			t.Fatal(err)
		}
		if kept, standing, err := s.Code(t.Context(), device.Tenant, device.Hash); err != nil || kept.GrantID != g.ID || standing.Grant.ID != g.ID {
			t.Errorf("the code: %+v %v", kept, err)
		}
		second := g
		second.ID = "gra_2"
		if err := s.AllowDevice(t.Context(), device, second, code, start); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("allowed twice: %v", err)
		}
		if err := s.DenyDevice(t.Context(), device, start); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("denied after it was allowed: %v", err)
		}
		if _, err := s.Grant(t.Context(), device.Tenant, second.ID); !errors.Is(err, grant.ErrNotFound) {
			t.Errorf("the second answer left a grant: %v", err)
		}
	})
}

func TestADeviceOfNoAppIsNotAllowed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		populate(t, s)
		device := aDevice("one")
		device.AppID = "gone"
		if err := s.CreateDevice(t.Context(), device); err != nil {
			t.Fatal(err)
		}
		g, _ := newGrant("gra_1")
		g.AppID = "gone"
		if err := s.AllowDevice(t.Context(), device, g, grant.Code{Hash: device.Hash, Tenant: device.Tenant, GrantID: g.ID, AppID: "gone"}, start); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("allow: %v", err)
		}
	})
}

func TestOnlyOneOfTwoPollsIsNoted(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		device := aDevice("one")
		if err := s.CreateDevice(t.Context(), device); err != nil {
			t.Fatal(err)
		}
		at := start.Add(6 * time.Second)
		if err := s.NotePoll(t.Context(), device, at, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := s.NotePoll(t.Context(), device, at, 5*time.Second); !errors.Is(err, grant.ErrConflict) {
			t.Errorf("the second of two: %v", err)
		}
		got, err := s.Device(t.Context(), device.Tenant, device.Hash)
		if err != nil || !got.PolledAt.Equal(at) || got.Pause != 10*time.Second {
			t.Errorf("%+v %v", got, err)
		}
	})
}

func TestDevicesAreSwept(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		device := aDevice("one")
		if err := s.CreateDevice(t.Context(), device); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Sweep(t.Context(), device.ExpiresAt.Add(2*time.Hour), 10); err != nil || n != 1 {
			t.Errorf("swept %d, %v; want 1", n, err)
		}
	})
}
