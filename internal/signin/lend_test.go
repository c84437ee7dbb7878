package signin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/seal"
)

// lender gives tokens of five minutes, and the ID tokens of the answers that idp makes.
type lender struct {
	*idp
	clock  *clock
	silent bool // it gives no ID token with a refresh
}

func (l *lender) Refresh(ctx context.Context, refresh string) (connect.Tokens, error) {
	given, err := l.idp.Refresh(ctx, refresh)
	given.Expires = l.clock.Now().Add(5 * time.Minute)
	if !l.silent {
		given.ID = jwtThatEnds(l.clock.Now().Add(4*time.Minute), l.idp.count())
	}
	return given, err
}

func jwtThatEnds(at time.Time, number int) string {
	payload := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d,"n":%d}`, at.Unix(), number))
	return "e30." + payload + ".c2ln"
}

func (w *world) lenders() (*Keeper, *lender) {
	l := &lender{idp: w.idp, clock: w.clock}
	return NewKeeper(KeeperConfig{
		Tokens: w.store, Envelope: seal.Envelope{Wrapper: w.ring}, Audit: w.audit, Holder: "test", Logger: slog.New(slog.DiscardHandler), Now: w.clock.Now,
	}, map[string]Inquiry{"corp": {Upstream: l, Lends: true}, "other": {Upstream: l, Lends: true}}), l
}

func TestWhatIsLentIsAskedForOnceWhileItIsGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k, _ := w.lenders()
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if lent, err := k.Lend(t.Context(), alice, "corp"); err != nil || lent.ID.IsZero() || lent.Access.IsZero() {
				t.Errorf("%+v, %v", lent, err)
			}
		})
	}
	group.Wait()
	if n := w.idp.count(); n != 1 {
		t.Errorf("%d calls, want one for all", n)
	}
	first, err := k.Lend(t.Context(), alice, "corp")
	if err != nil || !first.Expires.Equal(start.Add(4*time.Minute)) {
		t.Errorf("%v until %s, want the end of the ID token", err, first.Expires)
	}
	w.clock.pass(3 * time.Minute) // less than lentLeft is left
	second, err := k.Lend(t.Context(), alice, "corp")
	if err != nil || w.idp.count() != 2 || second.ID.Reveal() == first.ID.Reveal() {
		t.Errorf("%d calls, %v", w.idp.count(), err)
	}
	if u := w.stored(); strings.Contains(fmt.Sprintf("%s %v", u.Sealed, u), "e30.") {
		t.Error("the ID token is in the store")
	}
}

func TestNothingIsLentOfSomebodyWhoLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k, _ := w.lenders()
	if _, err := k.Lend(t.Context(), alice, "corp"); err != nil {
		t.Fatal(err)
	}
	w.idp.change(func(p *idp) { p.gone = true })
	w.clock.pass(time.Hour)
	if err := k.StillWelcome(t.Context(), alice); !errors.Is(err, grant.ErrRevoked) {
		t.Fatal(err)
	}
	if _, err := k.Lend(t.Context(), alice, "corp"); !errors.Is(err, grant.ErrRevoked) {
		t.Errorf("%v, want ErrRevoked", err)
	}
}

func TestWhyNothingIsLentIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		arrange  func(*world, *Keeper)
		person   string
		upstream string
		says     string
	}{
		"no refresh token":     {person: "per_bob", upstream: "corp", says: "offline_access"},
		"signed in elsewhere":  {person: alice.ID, upstream: "other", says: "signed in at corp"},
		"the upstream is down": {arrange: func(w *world, _ *Keeper) { w.idp.change(func(p *idp) { p.down = errors.New("503") }) }, person: alice.ID, upstream: "corp", says: "does not answer"},
		"it is down for a while": {arrange: func(w *world, k *Keeper) {
			w.idp.change(func(p *idp) { p.down = errors.New("503") })
			_ = k.check(t.Context(), alice, true)
		}, person: alice.ID, upstream: "corp", says: "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			k, _ := w.lenders()
			if c.arrange != nil {
				c.arrange(w, k)
			}
			person := alice
			person.ID = c.person
			if _, err := k.Lend(t.Context(), person, c.upstream); !errors.Is(err, ErrNotLent) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want words about %q", err, c.says)
			}
		})
	}
}

// What an upstream gives with a sign-in is lent too, and nothing of one that no warehouse asks.
func TestTokensOfASignInAreLent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k, _ := w.lenders()
	given := connect.Tokens{Access: "a", ID: jwtThatEnds(w.clock.Now().Add(time.Hour), 0), Expires: w.clock.Now().Add(time.Hour)}
	k.hold(alice.Tenant, alice.ID, "corp", given)
	k.hold(alice.Tenant, alice.ID, "nosuch", given)
	if lent, err := k.Lend(t.Context(), alice, "corp"); err != nil || lent.ID.Reveal() != given.ID || w.idp.count() != 0 {
		t.Errorf("%v after %d calls", err, w.idp.count())
	}
	if len(k.lent) != 1 {
		t.Errorf("%d are held", len(k.lent))
	}
}
