package issuer

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"pgregory.net/rapid"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// stock are keys that were made once, because that takes long. A simulation gets each in its turn; they
// are many enough that none comes again while another of the same id is about.
var stock = sync.OnceValues(func() (keys []*rsa.PrivateKey, err error) {
	for range 12 {
		key, err := generateKey()
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
})

// A fleet is some gateways on one folder.
type fleet struct {
	folder string
	turn   time.Duration
	now    time.Time

	made     int
	gateways []*member
	since    map[string]time.Time // when all gateways that run began to publish a key
	first    string               // the key that there was at the beginning
	tokens   []minted
}

type member struct {
	issuer *Issuer
	keys   *Keys
	skew   time.Duration // of its clock
}

type minted struct {
	token   secret.Text
	expires time.Time
}

func (f *fleet) generate() (*rsa.PrivateKey, error) {
	keys, err := stock()
	if err != nil {
		return nil, err
	}
	f.made++
	return keys[f.made%len(keys)], nil
}

// start adds a gateway.
func (f *fleet) start(t *rapid.T) {
	keys := &Keys{folder: f.folder, generate: f.generate}
	files, err := keys.readFiles(f.now, false)
	if err == nil {
		err = keys.replace(files, f.now)
	}
	if err != nil {
		t.Fatalf("a gateway starts: %v", err)
	}
	made, err := New(Config{URL: issuerURL, Keys: keys, ReservedAudiences: []string{audience}, Now: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	skew := time.Duration(rapid.IntRange(-5, 5).Draw(t, "seconds fast")) * time.Second
	f.gateways = append(f.gateways, &member{issuer: made, keys: keys, skew: skew})
}

// tick is what a gateway does every minute. That a key is due and that it is made are apart, so that
// others come between.
func (f *fleet) tick(t *rapid.T) {
	plans := map[*member]time.Time{}
	for _, g := range f.gateways {
		if err := g.keys.Reload(f.now); err != nil {
			t.Fatalf("reload: %v", err)
		}
		if from, due := g.keys.Due(f.turn, f.now.Add(g.skew)); due {
			plans[g] = from
		}
	}
	for g, from := range plans {
		if _, _, err := g.keys.AddNext(from, f.now); err != nil {
			t.Fatalf("make the next key: %v", err)
		}
	}
	f.now = f.now.Add(time.Minute)
	for _, g := range f.gateways {
		if _, err := g.keys.RemoveOver(f.now); err != nil {
			t.Fatalf("remove what is over: %v", err)
		}
		if err := g.keys.Reload(f.now); err != nil { // to whom nothing was due, because of its clock
			t.Fatalf("reload: %v", err)
		}
	}
}

// check holds all gateways to what is promised.
func (f *fleet) check(t *rapid.T) {
	f.tokens = slices.DeleteFunc(f.tokens, func(m minted) bool { return !m.expires.After(f.now) })
	published := map[string]int{}
	for n, g := range f.gateways {
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(g.issuer.JWKS(), &set); err != nil {
			t.Fatal(err)
		}
		for _, key := range set.Keys {
			published[key.KeyID]++
		}
		for _, m := range f.tokens {
			parsed, err := jwt.ParseSigned(m.token.Reveal(), []jose.SignatureAlgorithm{jose.RS256})
			if err != nil {
				t.Fatal(err)
			}
			found := set.Key(parsed.Headers[0].KeyID)
			if len(found) != 1 {
				t.Fatalf("%s: gateway %d publishes %d keys of a token that is valid until %s", f.now, n, len(found), m.expires)
			}
			if err := parsed.Claims(found[0], &map[string]any{}); err != nil {
				t.Fatalf("%s: %v", f.now, err)
			}
		}
	}
	for id, by := range published {
		if _, known := f.since[id]; !known && by == len(f.gateways) {
			f.since[id] = f.now
		}
	}
	for id := range f.since {
		if published[id] < len(f.gateways) {
			delete(f.since, id)
		}
	}
	f.checkSigners(t)
}

// checkSigners looks whether all gateways sign by the same key, and whether all have published it for a
// day.
func (f *fleet) checkSigners(t *rapid.T) {
	signers := map[string]bool{}
	for n, g := range f.gateways {
		by := map[KeyState][]string{}
		for _, key := range g.keys.List(f.now) {
			by[key.State] = append(by[key.State], key.ID)
		}
		if len(by[Signs]) != 1 || len(by[Ahead]) > 1 {
			t.Fatalf("%s: gateway %d has %v", f.now, n, by)
		}
		signers[by[Signs][0]] = true
	}
	for id := range signers {
		since, published := f.since[id]
		if len(signers) != 1 || !published || id != f.first && f.now.Sub(since) < 24*time.Hour {
			t.Fatalf("%s: signed by %v, which are published since %v", f.now, signers, f.since)
		}
		if id != f.first {
			f.first = "" // the stock's keys come again
		}
	}
}

// events are when something changes, or would if it were planned otherwise.
func (f *fleet) events() (events []time.Time) {
	keys := f.gateways[0].keys.List(f.now)
	for _, key := range keys {
		events = append(events, key.From, key.From.Add(keepPublished), key.From.Add(keepPublished+keepFile))
	}
	planned := keys[len(keys)-1].From.Add(f.turn)
	for n := range time.Duration(4) {
		events = append(events, planned.Add((n-2)*day))
	}
	return slices.DeleteFunc(events, func(at time.Time) bool { return !at.After(f.now) })
}

// pass lets time go by: a while, or until about the time when something changes.
func (f *fleet) pass(t *rapid.T) {
	events := f.events()
	if len(events) == 0 || rapid.IntRange(0, 2).Draw(t, "how it passes") == 0 {
		f.now = f.now.Add(time.Duration(rapid.IntRange(1, 60*36).Draw(t, "minutes")) * time.Minute)
		return
	}
	next := rapid.SampledFrom(events).Draw(t, "event").Add(time.Duration(rapid.IntRange(-4, 4).Draw(t, "seconds after")) * time.Second)
	if next.After(f.now) {
		f.now = next
	}
}

func TestKeysTakeTurnsByThemselvesForMonths(t *testing.T) {
	t.Parallel()
	folders := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		f := &fleet{
			folder: filepath.Join(folders, fmt.Sprint(runs)), now: start, since: map[string]time.Time{},
			turn: time.Duration(rapid.IntRange(7, 14).Draw(t, "days of a turn")) * day,
		}
		for range rapid.IntRange(1, 2).Draw(t, "gateways") {
			f.start(t)
		}
		f.first = f.gateways[0].keys.List(f.now)[0].ID
		for end := start.Add(60 * day); f.now.Before(end); {
			f.check(t)
			switch rapid.IntRange(0, 9).Draw(t, "what happens") {
			case 0: // one is restarted
				f.gateways = f.gateways[1:]
				f.start(t)
				f.pass(t)
			case 1: // all are off for a while
				f.pass(t)
				running := len(f.gateways)
				f.gateways = nil
				for range running {
					f.start(t)
				}
			default:
				f.pass(t)
			}
			f.mint(t)
			f.tick(t)
		}
		if f.made < 3 {
			t.Fatalf("%d keys in 60 days of turns of %s", f.made, f.turn)
		}
		if files, err := filepath.Glob(filepath.Join(f.folder, "*")); err != nil || len(files) > 4 {
			t.Fatalf("%d files are left, %v", len(files), err)
		}
	})
}

// mint has a gateway sign what lives longest.
func (f *fleet) mint(t *rapid.T) {
	by := f.gateways[rapid.IntRange(0, len(f.gateways)-1).Draw(t, "by")]
	token, err := by.issuer.IDToken(t.Context(), IDToken{Subject: "per_1", Audience: "app", Lifetime: MaxIDTokenLifetime})
	if err != nil {
		t.Fatal(err)
	}
	f.tokens = append(f.tokens, minted{token, f.now.Add(MaxIDTokenLifetime)})
}

// When the next key is due, and from when it signs, for a key that has signed since start.
func TestWhenTheNextKeyIsDue(t *testing.T) {
	t.Parallel()
	keys, err := OpenKeys(t.TempDir(), start)
	if err != nil {
		t.Fatal(err)
	}
	const turn = 30 * day
	planned := start.Add(turn)
	for _, row := range []struct {
		at   time.Time
		from time.Time // zero: not due
		why  string
	}{
		{start, time.Time{}, "it has just begun"},
		{planned.Add(-planAhead - time.Second), time.Time{}, "there is time"},
		{planned.Add(-planAhead), planned, "two days before"},
		{planned.Add(-day - nearDay), planned, "a little more than a day before"},
		{planned.Add(-day - nearDay + time.Second), time.Time{}, "gateways might disagree whether it is a day"},
		{planned.Add(-day + nearDay - time.Second), time.Time{}, "the same, on the other side"},
		{planned.Add(-day + nearDay), planned.Add(day), "too late by minutes: a day later"},
		{planned.Add(time.Hour), planned.Add(2 * day), "its time has come, and it would not have been published"},
		{planned.Add(10*day + time.Hour), planned.Add(12 * day), "nothing ran for ten days"},
	} {
		from, due := keys.Due(turn, row.at)
		if due == row.from.IsZero() || !from.Equal(row.from) {
			t.Errorf("%s: due %v, from %s, want %s", row.why, due, from, row.from)
		}
		if due && from.Sub(row.at) < PublishAhead+nearDay-time.Second && row.at.After(planned.Add(-day)) {
			t.Errorf("%s: published for %s only", row.why, from.Sub(row.at))
		}
	}
}

// Of many gateways that find the same key due at once, one makes it, and all have that one.
func TestOneKeyIsMadeByManyGateways(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	now := start.Add(30*day - 36*time.Hour)
	var gateways []*Keys
	for range 5 {
		keys, err := OpenKeys(folder, start)
		if err != nil {
			t.Fatal(err)
		}
		gateways = append(gateways, keys)
	}
	var all sync.WaitGroup
	keys, makers := make([]KeyInfo, len(gateways)), make([]bool, len(gateways))
	for n, g := range gateways {
		all.Go(func() {
			from, due := g.Due(30*day, now)
			if !due {
				t.Error("nothing is due")
				return
			}
			var err error
			if keys[n], makers[n], err = g.AddNext(from, now); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	made := 0
	for n := range gateways {
		if makers[n] {
			made++
		}
		if keys[n] != keys[0] || keys[n].State != Ahead {
			t.Errorf("gateway %d has %+v, and the first %+v", n, keys[n], keys[0])
		}
	}
	if files, err := os.ReadDir(folder); err != nil || made != 1 || len(files) != 2 {
		t.Errorf("%d gateways made a key; files %v, %v", made, files, err)
	}
}

func TestFilesOfKeysThatAreOverAreDeletedADayLater(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	keys, err := OpenKeys(folder, start)
	if err != nil {
		t.Fatal(err)
	}
	takesOver := start.Add(2 * day)
	if _, err := keys.Add(takesOver, start); err != nil {
		t.Fatal(err)
	}
	over := takesOver.Add(keepPublished)
	for _, at := range []time.Time{start, takesOver, over, over.Add(keepFile - time.Second)} {
		if removed, err := keys.RemoveOver(at); err != nil || len(removed) != 0 {
			t.Errorf("at %s: removed %v, %v", at, removed, err)
		}
	}
	first := keys.List(over)[0]
	if first.State != Over {
		t.Fatalf("%+v", first)
	}
	if removed, err := keys.RemoveOver(over.Add(keepFile)); err != nil || !slices.Equal(removed, []string{first.Place}) {
		t.Errorf("removed %v, %v", removed, err)
	}
	if left := keys.List(over.Add(keepFile)); len(left) != 1 || left[0].State != Signs || !left[0].Until.IsZero() {
		t.Errorf("left %+v", left)
	}
	// What cannot be deleted is said, and changes nothing.
	if err := os.Remove(left(t, folder)); err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(over.Add(keepFile)); err == nil || len(keys.List(over)) != 1 {
		t.Errorf("an empty folder: %v", err)
	}
}

// left is the only file in a folder.
func left(t *testing.T, folder string) string {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return filepath.Join(folder, files[0].Name())
}

func TestAnExportIsNoted(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	keys, err := OpenKeys(folder, start)
	if err != nil {
		t.Fatal(err)
	}
	if ids, exported, err := keys.Exported(); ids != nil || exported || err != nil {
		t.Errorf("before: %v, %v, %v", ids, exported, err)
	}
	next, err := keys.Add(start.Add(2*day), start)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.NoteExport(start); err != nil {
		t.Fatal(err)
	}
	first := keys.List(start)[0].ID
	if ids, exported, err := keys.Exported(); !slices.Equal(ids, []string{first, next.ID}) || !exported || err != nil {
		t.Errorf("after: %v, %v, %v", ids, exported, err)
	}
	if info, err := os.Stat(filepath.Join(folder, exportedFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// The note is no key.
	if again, err := OpenKeys(folder, start); err != nil || len(again.List(start)) != 2 {
		t.Error(err)
	}
}

func TestLookingMakesNoKey(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "keys")
	if _, err := (KeyPlaces{Folder: folder, Look: true}).Open(t.Context(), start); err != ErrNoKeys {
		t.Errorf("%v, want ErrNoKeys", err)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder: %v", err)
	}
	if err := keysIn(folder).makeKey(start); err == nil {
		t.Error("a key was made in a folder that is not there")
	}
	keys, err := OpenKeys(folder, start)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.makeKey(start); err == nil || !os.IsExist(err) {
		t.Errorf("a key took another's place: %v, want %v", err, fs.ErrExist)
	}
}
