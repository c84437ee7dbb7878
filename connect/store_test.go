package connect_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
)

func TestMemorySessionsForgetWhatHasExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, store := t.Context(), connect.NewMemorySessions()
		save(t, store, "short", time.Now().Add(time.Minute))
		save(t, store, "long", time.Now().Add(time.Hour))
		time.Sleep(time.Minute)
		if _, err := store.Load(ctx, "short"); !errors.Is(err, connect.ErrNoSession) {
			t.Errorf("%v, want ErrNoSession", err)
		}
		if data, err := store.Load(ctx, "long"); err != nil || string(data) != "data of long" {
			t.Errorf("%q, %v", data, err)
		}
		if err := errors.Join(store.Delete(ctx, "long"), store.Delete(ctx, "long")); err != nil {
			t.Error(err)
		}
		if _, err := store.Load(ctx, "long"); !errors.Is(err, connect.ErrNoSession) {
			t.Errorf("%v, want ErrNoSession", err)
		}
	})
}

func save(t *testing.T, store connect.SessionStore, id string, expires time.Time) {
	t.Helper()
	if err := store.Save(t.Context(), id, []byte("data of "+id), expires); err != nil {
		t.Fatal(err)
	}
}

func TestMemorySessionsAreBounded(t *testing.T) {
	t.Parallel()
	store, now := connect.NewMemorySessions(), time.Now()
	const limit = 100_000
	for n := range limit {
		save(t, store, fmt.Sprint(n), now.Add(time.Hour+time.Duration(n)))
	}
	save(t, store, "one more", now.Add(2*time.Hour))
	if _, err := store.Load(context.Background(), "0"); !errors.Is(err, connect.ErrNoSession) {
		t.Errorf("the one that ends first stays: %v", err)
	}
	for _, id := range []string{"1", fmt.Sprint(limit - 1), "one more"} {
		if _, err := store.Load(context.Background(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// broken stores are not signed-out people.
func TestAStoreThatFailsIsNoSignOut(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	store := &failing{SessionStore: connect.NewMemorySessions()}
	a := newApp(t, i, func(c *connect.Config) { c.Sessions = store })
	a.signIn(t)
	store.err = errors.New("the store is down")
	if _, err := a.session(); !errors.Is(err, store.err) || errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("%v, want the store's error", err)
	}
}

type failing struct {
	connect.SessionStore
	err error
}

func (f *failing) Load(ctx context.Context, id string) ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.SessionStore.Load(ctx, id)
}

// What is sealed for one session, client or app is nobody else's.
func TestSessionsCannotBeMoved(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	store := &spy{SessionStore: connect.NewMemorySessions()}
	a := newApp(t, i, func(c *connect.Config) { c.Sessions = store })
	a.signIn(t)
	anns := store.saved[0]
	a.signIn(t)
	mine := store.ids[len(store.ids)-1]
	if err := store.Save(t.Context(), mine, anns, i.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.session(); !errors.Is(err, connect.ErrSignedOut) {
		t.Errorf("another session's content opens: %v", err)
	}
}
