package signin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/seal"
)

// Does the upstream still know a person? Where it gave a refresh token at sign-in, that is kept,
// and asking for the next one is the question. An answer uses the token up, and the next one
// exists in that answer only, so:
//
//   - one gateway asks, under a lease in the store; the others wait for what it writes;
//   - that a call begins is written before it is made, and its answer before anybody sees it;
//   - a lease that ran out, its holder being dead or slow, goes to a successor, and whatever the
//     holder writes later is refused by its fence.
//
// Only invalid_grant is a no. An upstream that fails or cannot be reached ends nothing: people
// go on for a while (Upstream.TolerateOutage), and are then told to try again later.
//
// What this cannot mend: a holder that dies after the upstream has answered and before that is
// written, at an upstream that takes each token once and shows no grace. The successor's token
// is refused, and the person must sign in again.

// NoLongerWelcome is why grants end when the upstream says no.
const NoLongerWelcome = "the identity provider no longer vouches for the person"

const (
	upstreamCall = 10 * time.Second
	// leaseTime is longer than a call takes, with room to write its answer.
	leaseTime = upstreamCall + 10*time.Second
	// patience is how long somebody waits for another's call before it counts as failed.
	patience = leaseTime + upstreamCall
	// holders write that long at most how their call ended, if the store fails.
	commitTime = time.Minute
	firstPause = 20 * time.Millisecond
	longPause  = 200 * time.Millisecond
	// A failed call is not repeated before retryPause, with jitter, whoever refreshes.
	retryPause = 5 * time.Second
	resealSome = 100
)

// UpstreamTokens keeps the tokens. Each method that changes one answers grant.ErrConflict when
// somebody else was first.
type UpstreamTokens interface {
	UpstreamToken(ctx context.Context, tenant, personID string) (grant.UpstreamToken, error)
	KeepUpstream(ctx context.Context, u grant.UpstreamToken) error
	VouchUpstream(ctx context.Context, tenant, personID string, at time.Time) error
	LeaseUpstream(ctx context.Context, u grant.UpstreamToken, holder string, now, until time.Time) (fence int64, err error)
	CommitUpstream(ctx context.Context, next grant.UpstreamToken) error
	FailUpstream(ctx context.Context, u grant.UpstreamToken, at, retryAt time.Time) error
	EndUpstream(ctx context.Context, u grant.UpstreamToken, why string, at time.Time) (grants int, err error)
	UpstreamTokensToReseal(ctx context.Context, newest int64, tenant, personID string, limit int) ([]grant.UpstreamToken, error)
	ResealUpstream(ctx context.Context, u grant.UpstreamToken) error
}

// A Refresher asks an upstream with a refresh token, once: connect.ErrSignedOut is its no.
type Refresher interface {
	Refresh(ctx context.Context, refresh string) (connect.Tokens, error)
}

// An Inquiry is one upstream that can be asked about people.
type Inquiry struct {
	Upstream Refresher
	// CheckEvery is how old the last answer may be; 0 is an hour.
	CheckEvery time.Duration
	// TolerateOutage is for how long after that people go on while the upstream does not answer;
	// 0 is a day.
	TolerateOutage time.Duration
	// Lends says that what it gives is lent to warehouses, and so is held in memory.
	Lends bool
}

// KeeperConfig is what a Keeper is built from.
type KeeperConfig struct {
	Tokens   UpstreamTokens
	Envelope seal.Envelope
	Audit    Audit
	Holder   string // names this gateway in the store
	Logger   *slog.Logger
	Now      func() time.Time
}

// A Keeper keeps the upstream tokens of people, and asks about them. It is safe for concurrent
// use.
type Keeper struct {
	KeeperConfig
	inquiries map[string]Inquiry // by the upstream's name
	flights   singleflight.Group

	mu      sync.Mutex
	settled map[string]time.Time // until when nobody has to look whether to ask, by tenant and person
	lent    map[string]Lent      // by upstream, tenant and person
}

const (
	// settledTime spares a look at the store for each of many refreshes. A person who is refused
	// meanwhile, here or elsewhere, is refused by their grants, which end with that.
	settledTime = 5 * time.Second
	maxSettled  = 10_000
)

func (k *Keeper) isSettled(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.Now().Before(k.settled[key])
}

func (k *Keeper) settle(key string, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.settled == nil || len(k.settled) >= maxSettled {
		k.settled = map[string]time.Time{}
	}
	k.settled[key] = until
}

func keyOf(person grant.Person) string { return person.Tenant + "\x00" + person.ID }

// NewKeeper makes a keeper for upstreams by name.
func NewKeeper(config KeeperConfig, inquiries map[string]Inquiry) *Keeper {
	k := &Keeper{KeeperConfig: config, inquiries: map[string]Inquiry{}}
	for name, inquiry := range inquiries {
		if inquiry.CheckEvery == 0 {
			inquiry.CheckEvery = time.Hour
		}
		if inquiry.TolerateOutage == 0 {
			inquiry.TolerateOutage = 24 * time.Hour
		}
		k.inquiries[name] = inquiry
	}
	return k
}

func place(u grant.UpstreamToken) seal.Place {
	return seal.Place{Tenant: u.Tenant, Owner: u.PersonID, Purpose: "upstream token of " + u.Upstream, Generation: u.Generation}
}

// newKeeper is nil where tokens are not kept.
func (s *SignIn) newKeeper() *Keeper {
	if s.config.Tokens == nil {
		return nil
	}
	inquiries := map[string]Inquiry{}
	for _, u := range s.upstreams {
		inquiries[u.Name] = Inquiry{Upstream: u.client, CheckEvery: u.CheckEvery, TolerateOutage: u.TolerateOutage, Lends: u.Lends}
	}
	return NewKeeper(KeeperConfig{
		Tokens: s.config.Tokens, Envelope: s.config.Envelope, Audit: s.config.Audit, Holder: s.config.Holder, Logger: s.config.Logger, Now: s.now,
	}, inquiries)
}

// keepTokens keeps what an upstream gave with a sign-in. The session holds none of it, whether or not
// there was a refresh token: its end would revoke what it holds, and at Google an access token takes
// the refresh token that was kept earlier with it.
func (s *SignIn) keepTokens(ctx context.Context, u *upstream, identity connect.Identity, given connect.Tokens) (bool, error) {
	if s.keeper == nil {
		return false, nil
	}
	person, err := s.config.People.PersonBySubject(ctx, s.config.Tenant, identity.Issuer, u.subject(identity))
	if err != nil {
		return false, fmt.Errorf("%w: %w", errStore, err)
	}
	if err := s.keeper.Keep(ctx, person.Tenant, person.ID, u.Name, given.Refresh); err != nil {
		return false, fmt.Errorf("%w: %w", errStore, err)
	}
	s.keeper.hold(person.Tenant, person.ID, u.Name, given)
	return true, nil
}

// StillWelcome asks about a person as Keeper.StillWelcome does.
func (s *SignIn) StillWelcome(ctx context.Context, person grant.Person) error {
	if s.keeper == nil {
		return nil
	}
	return s.keeper.StillWelcome(ctx, person)
}

// Reseal seals upstream tokens again as Keeper.Reseal does.
func (s *SignIn) Reseal(ctx context.Context) (int, error) {
	if s.keeper == nil {
		return 0, nil
	}
	return s.keeper.Reseal(ctx)
}

// Keep keeps the refresh token of a sign-in, in place of the one before. An upstream that gives
// none this time has vouched for the person all the same.
func (k *Keeper) Keep(ctx context.Context, tenant, personID, upstream, refresh string) error {
	if refresh == "" {
		return k.Tokens.VouchUpstream(ctx, tenant, personID, k.Now())
	}
	for {
		before, err := k.Tokens.UpstreamToken(ctx, tenant, personID)
		if err != nil && !errors.Is(err, grant.ErrNotFound) {
			return err
		}
		next := grant.UpstreamToken{Tenant: tenant, PersonID: personID, Upstream: upstream, Generation: before.Generation + 1, CheckedAt: k.Now()}
		if err := k.seal(ctx, &next, refresh); err != nil {
			return err
		}
		if err = k.Tokens.KeepUpstream(ctx, next); !errors.Is(err, grant.ErrConflict) {
			return err
		}
	}
}

func (k *Keeper) seal(ctx context.Context, u *grant.UpstreamToken, refresh string) error {
	sealed, version, err := k.Envelope.Seal(ctx, []byte(refresh), place(*u))
	if err != nil {
		return err
	}
	u.Sealed, u.KeyVersion = sealed, int64(version)
	return nil
}

// StillWelcome tells whether a person's upstream still vouches for them, as far as was asked
// lately; it asks when it is time. It returns grant.ErrRevoked for a no; any other error means
// that nobody can tell. All callers of this process share one question.
func (k *Keeper) StillWelcome(ctx context.Context, person grant.Person) error {
	if k.isSettled(keyOf(person)) {
		return nil
	}
	return k.share(ctx, keyOf(person), func(ctx context.Context) error { return k.check(ctx, person, false) })
}

// share asks one question for all who have it at once.
func (k *Keeper) share(ctx context.Context, key string, question func(context.Context) error) error {
	result := k.flights.DoChan(key, func() (any, error) {
		// The question goes on when one of those who share it leaves.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return nil, question(ctx)
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case done := <-result:
		return done.Err
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// check looks at what is stored until it holds an answer, or until it is on us to ask. anew asks
// though the last answer is not old.
func (k *Keeper) check(ctx context.Context, person grant.Person, anew bool) error {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		u, err := k.Tokens.UpstreamToken(ctx, person.Tenant, person.ID)
		if errors.Is(err, grant.ErrNotFound) {
			k.settle(keyOf(person), k.Now().Add(settledTime))
			return nil // there is nothing to ask with
		}
		if err != nil {
			return fmt.Errorf("find upstream token: %w", err)
		}
		now := k.Now()
		inquiry, configured := k.inquiries[u.Upstream]
		switch {
		case !u.EndedAt.IsZero():
			return grant.ErrRevoked
		case configured && !anew && now.Before(u.CheckedAt.Add(inquiry.CheckEvery)):
			k.settle(keyOf(person), earlier(u.CheckedAt.Add(inquiry.CheckEvery), now.Add(settledTime)))
			return nil
		case !configured, now.Before(u.RetryAt):
			return k.tolerate(u, inquiry, now)
		case now.Before(u.LeaseUntil):
			if !sleep(ctx, pause) {
				return k.tolerate(u, inquiry, k.Now())
			}
			continue
		}
		u.Fence, err = k.Tokens.LeaseUpstream(ctx, u, k.Holder, now, now.Add(leaseTime))
		if errors.Is(err, grant.ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("lease upstream token: %w", err)
		}
		u.LeaseUntil = now.Add(leaseTime)
		return k.ask(ctx, u, inquiry)
	}
}

func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tolerate lets a person go on whose upstream cannot be asked, for a while.
func (k *Keeper) tolerate(u grant.UpstreamToken, inquiry Inquiry, now time.Time) error {
	if now.Before(u.CheckedAt.Add(inquiry.CheckEvery + inquiry.TolerateOutage)) {
		return nil
	}
	return fmt.Errorf("upstream %s has not answered about %s since %s", u.Upstream, u.PersonID, u.CheckedAt.Format(time.RFC3339))
}

// ask makes the one call, and writes how it ended. Only the holder of the lease comes here.
func (k *Keeper) ask(ctx context.Context, u grant.UpstreamToken, inquiry Inquiry) error {
	refresh, err := k.Envelope.Open(ctx, u.Sealed, place(u))
	if err != nil {
		return k.failed(ctx, u, inquiry, fmt.Errorf("open upstream token: %w", err))
	}
	// Who was held up for so long that the lease may end during the call must not make it: a
	// successor may have used the token up by then, and the upstream would take us for a thief.
	if !k.Now().Add(upstreamCall).Before(u.LeaseUntil) {
		return k.overtaken(ctx, u)
	}
	call, cancel := context.WithTimeout(ctx, upstreamCall)
	defer cancel()
	given, err := inquiry.Upstream.Refresh(call, string(refresh))
	switch {
	case errors.Is(err, connect.ErrSignedOut):
		return k.refused(ctx, u)
	case err != nil:
		return k.failed(ctx, u, inquiry, err)
	}
	next := u
	next.CheckedAt = k.Now()
	if given.Refresh != "" && given.Refresh != string(refresh) {
		next.Generation++
		if err := k.seal(ctx, &next, given.Refresh); err != nil {
			return fmt.Errorf("seal upstream token: %w", err)
		}
	}
	if err := k.commit(context.WithoutCancel(ctx), next); err != nil {
		return err
	}
	k.hold(u.Tenant, u.PersonID, u.Upstream, given)
	return nil
}

// commit writes the answer, and does not give up at once when the store fails: the answer is
// nowhere else. A write of which it is not known whether it was done is done again.
func (k *Keeper) commit(ctx context.Context, next grant.UpstreamToken) error {
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, time.Second) {
		err := k.Tokens.CommitUpstream(ctx, next)
		if errors.Is(err, grant.ErrConflict) {
			return k.overtaken(ctx, next)
		}
		if err == nil {
			return nil
		}
		k.Logger.ErrorContext(ctx, "an upstream's answer cannot be written yet; trying again", "person", next.PersonID, "error", err)
		if !sleep(ctx, pause) {
			return fmt.Errorf("write upstream's answer: %w", err)
		}
	}
}

// overtaken is a write that was refused: it was done already, or somebody else holds the lease,
// or the person has signed in anew. What is stored is the truth then.
func (k *Keeper) overtaken(ctx context.Context, next grant.UpstreamToken) error {
	stored, err := k.Tokens.UpstreamToken(ctx, next.Tenant, next.PersonID)
	switch {
	case errors.Is(err, grant.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("find upstream token: %w", err)
	case !stored.EndedAt.IsZero():
		return grant.ErrRevoked
	}
	if stored.Fence != next.Fence {
		k.Logger.WarnContext(ctx, "an upstream's answer came too late to be written", "person", next.PersonID, "holder", stored.Holder)
	}
	return nil // the upstream has vouched for the person just now
}

// failed gives the lease back. The person goes on for a while.
func (k *Keeper) failed(ctx context.Context, u grant.UpstreamToken, inquiry Inquiry, why error) error {
	now := k.Now()
	k.Logger.WarnContext(ctx, "an upstream cannot be asked about a person", "upstream", u.Upstream, "person", u.PersonID, "error", why)
	retry := now.Add(retryPause + rand.N(retryPause))
	if err := k.Tokens.FailUpstream(context.WithoutCancel(ctx), u, now, retry); err != nil && !errors.Is(err, grant.ErrConflict) {
		k.Logger.ErrorContext(ctx, "give upstream lease back", "person", u.PersonID, "error", err) // it runs out by itself
	}
	return k.tolerate(u, inquiry, now)
}

// refused ends what the person has allowed, here and in their browsers. It is done whether or
// not it can be recorded.
func (k *Keeper) refused(ctx context.Context, u grant.UpstreamToken) error {
	ctx = context.WithoutCancel(ctx)
	k.letGo(u.Tenant, u.PersonID, u.Upstream)
	grants, err := k.Tokens.EndUpstream(ctx, u, NoLongerWelcome, k.Now())
	if errors.Is(err, grant.ErrConflict) {
		// Whose token was refused is an old one: a sign-in, or a successor, has brought another.
		return k.overtaken(ctx, u)
	}
	if err != nil {
		return fmt.Errorf("end upstream token: %w", err)
	}
	detail := NoLongerWelcome
	if !u.AttemptAt.IsZero() {
		detail += "; an earlier call's answer was lost, and the token may have been used up by it"
	}
	record := audit.Record{
		Time: k.Now(), Kind: "person.refused_upstream", Tenant: u.Tenant, Person: u.PersonID,
		Outcome: fmt.Sprintf("%d grants revoked", grants), Detail: u.Upstream + ": " + detail,
	}
	if err := k.Audit.Write(ctx, record); err != nil {
		k.Logger.ErrorContext(ctx, "audit record is missing", "kind", record.Kind, "person", u.PersonID, "error", err)
	}
	return grant.ErrRevoked
}

// Reseal seals again what older keys have sealed, some at a time, and tells how many it did.
func (k *Keeper) Reseal(ctx context.Context) (int, error) {
	newest, done := int64(k.Envelope.Wrapper.Newest()), 0
	tenant, person := "", ""
	for {
		old, err := k.Tokens.UpstreamTokensToReseal(ctx, newest, tenant, person, resealSome)
		if err != nil || len(old) == 0 {
			return done, err
		}
		for _, u := range old {
			tenant, person = u.Tenant, u.PersonID
			sealed, version, err := k.Envelope.Rewrap(ctx, u.Sealed, place(u))
			if errors.Is(err, seal.ErrOpen) {
				k.Logger.ErrorContext(ctx, "an upstream token does not open: its key is gone", "person", person, "key_version", u.KeyVersion)
				continue
			}
			if err != nil {
				return done, err
			}
			u.Sealed, u.KeyVersion = sealed, int64(version)
			err = k.Tokens.ResealUpstream(ctx, u)
			if err != nil && !errors.Is(err, grant.ErrConflict) {
				return done, err
			}
			if err == nil {
				done++
			}
		}
	}
}
